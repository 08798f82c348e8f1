"""A model and its data from the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from normfield.cli.flags import flag, typed_flags
from normfield.cli.network_flags import NetworkFlags
from normfield.data import DataSet, load, load_target
from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput
from normfield.network import Network


@dataclass(frozen=True)
class ModelFlags:
    """A model of the user's own, and the data."""

    model: str | None = flag(
        None,
        "Your own: path.py:function or package.module:function; it returns a module or a Network, and may take a seed. "
        "Without it the network flags describe one.",
        kind=str,
    )
    data: str = flag(
        "digits",
        "digits, mnist, fashion-mnist, cifar10 (downloaded unless here: normfield data), FILE.npz, path.py:function or "
        "package.module:function.",
    )
    samples: int | None = flag(None, "Use the first so many training samples.", kind=int)
    standardise: str | None = flag(
        None,
        "Of the inputs; named data sets: global, your own: none.",
        kind=click.Choice(["global", "pixel", "none"]),
    )
    seed: int = flag(0, "Of initial weights and data order.")

    def read(self, flags: NetworkFlags) -> tuple[Any, DataSet]:
        """(Network, module or seed → module; data in its shape).

        Raises
        ------
        InvalidInput, DataUnavailable
            Something named does not exist, or does not fit; the message says what.
        """
        if self.model is not None and (idle := typed_flags(NetworkFlags)):
            raise InvalidInput(
                expected="either --model or the flags of a network", got=f"--model and {', '.join(idle)}"
            )
        data = load(
            self.data,
            samples=self.samples,
            standardise=_any(self.standardise),
            seed=self.seed,
            quiet=bool(click.get_current_context().params.get("json")),
        )
        model = self._network(flags, data) if self.model is None else _called(self.model, self.seed)
        return model, data.shaped(model.input_shape) if isinstance(model, Network) else data

    def _network(self, flags: NetworkFlags, data: DataSet) -> Network:
        network = flags.network(data.input_shape, data.outputs)
        if network.output_shape != (data.outputs,):
            raise InvalidInput(
                expected=f"{data.outputs} outputs for {data.name}",
                got=str(network.output_shape[0]),
                instead="leave --outputs out",
            )
        return network


def _any(value: Any) -> Any:
    return value


def _called(spec: str, seed: int) -> Any:
    """What the target makes: itself where it takes a seed, else what it returns."""
    function = load_target(spec)
    if _takes_a_seed(function):
        return function
    try:
        with seeded_random_state(seed):
            return function()
    except Exception as error:
        raise InvalidInput(
            expected=f"{spec} to return a module or a Network",
            got=f"{type(error).__name__}: {error}",
            instead="correct the function",
        ) from error


def _takes_a_seed(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return not inspect.isclass(function) and any(
        p.kind in positional and (p.default is p.empty or p.name == "seed") for p in parameters
    )
