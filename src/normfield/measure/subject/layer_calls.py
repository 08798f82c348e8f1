"""What single layers of a model are given while it runs, call by call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.subject.function import ModelFunction
from normfield.samples import Samples

T = TypeVar("T")

_ONLY_PASS = (
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)


def _computes(name: str, module: nn.Module) -> bool:
    """Whether a module without submodules changes values; parametrisations of weights do not count as modules."""
    inside = [key for key in module._modules if key != "parametrizations"]
    return not inside and "parametrizations" not in name.split(".") and not isinstance(module, _ONLY_PASS)


def chosen_layers(model: nn.Module, names: Sequence[str] | None) -> dict[str, nn.Module]:
    """The named submodules, or every one that has no submodules and does more than pass values on.

    Raises
    ------
    InvalidInput
        Names in another form than a sequence of strings, none, or one that is no submodule.
    """
    modules = dict(model.named_modules())
    if names is None:
        return {name: module for name, module in modules.items() if _computes(name, module)}
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise InvalidInput(
            expected="layers as a sequence of names of submodules",
            got=repr(names),
            instead='as in ["0", "2"]',
        )
    for name in names:
        if name not in modules:
            some = ", ".join(repr(key) for key in list(modules)[1:6])
            raise InvalidInput(
                expected="names of submodules as layers",
                got=repr(name),
                instead=f"this module's begin with {some}" if some else "this module has none",
            )
    return {name: modules[name] for name in names}


def _first_tensor(values: Sequence[Any]) -> Tensor | None:
    """The first floating-point tensor with samples among a call's arguments."""
    for value in values:
        if isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 0 and value.numel():
            return value
    return None


@contextmanager
def watched_calls(
    layers: Mapping[str, nn.Module], take: Callable[[str, nn.Module, Tensor], T]
) -> Iterator[list[T]]:
    """While open, what `take` makes of a layer's name, the layer and what it is given, in the order of the calls.

    Calls with whole numbers only are passed over.
    """
    taken: list[T] = []

    def taking(name: str) -> Any:
        def look(layer: nn.Module, positional: tuple[Any, ...], keyword: dict[str, Any]) -> None:
            given = _first_tensor([*positional, *keyword.values()])
            if given is not None:
                taken.append(take(name, layer, given.detach()))

        return look

    handles = [
        layer.register_forward_pre_hook(taking(name), with_kwargs=True) for name, layer in layers.items()
    ]
    try:
        yield taken
    finally:
        for handle in handles:
            handle.remove()


def call_order(function: ModelFunction, inputs: Samples) -> dict[str, int]:
    """Every submodule's rank by first call; one that is never called ranks right behind what it is part of.

    Its parts are often used without a call, as attention's output projection is.
    """
    names = dict(function.model.named_modules(remove_duplicate=False))
    first: dict[nn.Module, int] = {}

    def note(module: nn.Module, _: Any) -> None:
        first.setdefault(module, len(first))

    handles = [module.register_forward_pre_hook(note) for module in dict.fromkeys(names.values())]
    try:
        with torch.no_grad():
            function(inputs)
    finally:
        for handle in handles:
            handle.remove()
    ranks: dict[str, float] = {}
    for name, module in names.items():  # parents come before their parts
        ranks[name] = float(first[module]) if module in first else ranks.get(name.rpartition(".")[0], -1.0)
    ordered = sorted(names, key=ranks.__getitem__)  # equal ranks keep the module's own order
    return {name: place for place, name in enumerate(ordered)}


def numbered(names: Sequence[str]) -> list[str]:
    """Layers called more than once get the number of the call behind their name."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name or "the module" if names.count(name) == 1 else f"{name}, call {seen[name]}")
    return found
