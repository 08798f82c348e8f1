"""A model and its data from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import click
from torch import nn

from normfield.cli.flags import argument, flag, typed_flags
from normfield.cli.network_flags import NetworkFlags, described_in
from normfield.data import DataSet, load, load_target
from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput
from normfield.network import Network
from normfield.train.user_functions import made


@dataclass(frozen=True)
class ModelFlags:
    """A model of the user's own, and the data."""

    target: str | None = argument("[MODEL]")
    model: str | None = flag(
        None,
        "Your own, the same as MODEL: FILE.toml, FILE.json (a description), path.py:function or "
        "package.module:function; it returns a module or a Network, and may take a seed. Without either the network "
        "flags describe one.",
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
        spec = self.spec()
        given = None if spec is None else _given(spec, self.seed)
        data = self.data_set()
        model = self.network(flags, data) if given is None else given
        return model, data.shaped(model.input_shape) if isinstance(model, Network) else data

    def data_set(self) -> DataSet:
        """The data.

        Raises
        ------
        InvalidInput, DataUnavailable
            They do not exist, or cannot be read.
        """
        return load(
            self.data,
            samples=self.samples,
            standardise=_any(self.standardise),
            seed=self.seed,
            quiet=bool(click.get_current_context().params.get("json")),
        )

    def spec(self) -> str | None:
        """The model's place, refused where more than one way names a network."""
        if self.model is not None and self.target is not None:
            raise InvalidInput(expected="one model", got=f"{self.target} and --model {self.model}")
        how = "--model" if self.target is None else self.target
        if (self.model or self.target) and (idle := typed_flags(NetworkFlags)):
            raise InvalidInput(
                expected="either --model or the flags of a network", got=f"{how} and {', '.join(idle)}"
            )
        return self.model if self.target is None else self.target

    def network(self, flags: NetworkFlags, data: DataSet) -> Network:
        """The network that the flags describe, with an output for each of the data's.

        Raises
        ------
        InvalidInput
            Flags that are out of range or do not fit the data.
        """
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


def _given(spec: str, seed: int) -> Any:
    """A Network or a module, or what makes a module of a seed.

    A maker is called once, to see what it makes; one that takes no seed is called anew for every restart all the same,
    with the global generators at the restart's seed.
    """
    described = described_in(spec)
    if described is not None:
        return described
    found = load_target(spec)
    if isinstance(found, nn.Module):
        return found
    with seeded_random_state(seed):
        first = made(found, seed, spec)
    if isinstance(first, Network):
        return first
    if not isinstance(first, nn.Module):
        raise InvalidInput(
            expected=f"{spec} to return a torch.nn.Module or a Network",
            got=type(first).__name__,
            instead="return the module itself",
        )
    return partial(_again, found, spec)


def _again(maker: Any, spec: str, seed: int) -> Any:
    return made(maker, seed, spec)
