"""What makes the module of a point: a Network changed along axes, a module, or a function with keyword arguments."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from normfield.data import load_target
from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput
from normfield.nets import build as build_network
from normfield.network import Network, Shape
from normfield.sweep import Cell, Point
from normfield.train.alike import signature
from normfield.train.identity import digest, function_words, in_words
from normfield.train.sweeps.network_axes import VALUES_ONLY, axes_of, changed, skeleton
from normfield.train.sweeps.task_settings import OWN_AXES
from normfield.train.user_functions import source_file


@dataclass(frozen=True, eq=False)
class Made:
    """A module at its initial values, and the Network that it was drawn from, if it was."""

    module: nn.Module
    network: Network | None = None

    @property
    def shape(self) -> Hashable:
        """Equal for two that can train together."""
        if self.network is not None:
            return skeleton(self.network)
        return digest(sorted(signature(self.module).items()), 40)

    @property
    def input_shape(self) -> Shape | None:
        """The shape in which a Network takes its inputs."""
        return None if self.network is None else self.network.input_shape


class Maker(Protocol):
    """Point and seed to module."""

    @property
    def axes(self) -> tuple[str, ...] | None:
        """Axes that it takes; None where it takes any."""
        ...

    def missing(self, axes: Collection[str]) -> tuple[str, ...]:
        """What it must be told besides these axes."""
        ...

    @property
    def values_only(self) -> frozenset[str]:
        """Axes that change no shape."""
        ...

    @property
    def words(self) -> str:
        """The same in every process and on every day, and other for another maker."""
        ...

    @property
    def portable(self) -> Any:
        """What must be pickled to send it to another process."""
        ...

    @property
    def file(self) -> str | None:
        """The file of the user's code that makes modules; None without any."""
        ...

    def make(self, point: Point, seed: int) -> Made:
        """The module of a point; raises what the user's code raises."""
        ...

    def shape(self, point: Point) -> Hashable:
        """As `Made.shape`; raises as `make`."""
        ...

    def network(self, point: Point) -> Network | None:
        """The description of a point's module where there is one."""
        ...


def maker_of(build: Any) -> Maker:
    """What makes modules of anything that a user gives as `build`.

    Raises
    ------
    InvalidInput
        Something else than a Network, a module, a function or the place of a function.
    """
    if isinstance(build, Network):
        return FromNetwork(build)
    if isinstance(build, nn.Module):
        return FromModule(build)
    if isinstance(build, str):
        return FromFunction(load_target(build), build)
    if callable(build):
        return FromFunction(build)
    raise InvalidInput(
        expected="build as a Network, a module, a function of a seed and axes, or path.py:function",
        got=type(build).__name__,
        instead="give e.g. nf.mlp(...), or def build(seed, gamma): ...",
    )


@dataclass(frozen=True)
class FromNetwork:
    """A description whose numbers are the axes."""

    base: Network
    file = None

    @property
    def portable(self) -> Network:
        return self.base

    @property
    def axes(self) -> tuple[str, ...]:
        return axes_of(self.base)

    @property
    def values_only(self) -> frozenset[str]:
        return VALUES_ONLY

    def missing(self, axes: Collection[str]) -> tuple[str, ...]:
        return ()

    @property
    def words(self) -> str:
        return f"Network {digest(in_words(self.base))}"

    def make(self, point: Point, seed: int) -> Made:
        network = self.network(point)
        return Made(build_network(network, seed=seed), network)

    def shape(self, point: Point) -> Hashable:
        return skeleton(
            changed(self.base, {name: value for name, value in point.items() if name not in VALUES_ONLY})
        )

    def network(self, point: Point) -> Network:
        return changed(self.base, point)


@dataclass(frozen=True, eq=False)
class FromModule:
    """A module, copied for each point: its initial values are the same everywhere."""

    base: nn.Module
    axes = ()
    values_only = frozenset()
    file = None

    @property
    def portable(self) -> nn.Module:
        return self.base

    def missing(self, axes: Collection[str]) -> tuple[str, ...]:
        return ()

    @property
    def words(self) -> str:
        return f"{type(self.base).__qualname__} {digest(in_words(self.base))}"

    def make(self, point: Point, seed: int) -> Made:
        return Made(copy.deepcopy(self.base))

    def shape(self, point: Point) -> Hashable:
        return ""

    def network(self, point: Point) -> None:
        return None


@dataclass(frozen=True, eq=False)
class FromFunction:
    """A function whose keyword arguments besides the seed are the axes; ``place`` names it where it came by name.

    It may return a module or a Network. Where it takes no seed the global generators are started at it, and put back
    afterwards.
    """

    function: Callable[..., Any]
    place: str | None = None

    @property
    def portable(self) -> Any:
        return self.function if self.place is None else self.place

    @property
    def file(self) -> str | None:
        return source_file(self.function)

    def __reduce__(self) -> tuple[Any, ...]:
        """One that came by name goes to other processes by name."""
        return (maker_of, (self.place,)) if self.place is not None else (FromFunction, (self.function,))

    @property
    def axes(self) -> tuple[str, ...] | None:
        if any(each.kind is each.VAR_KEYWORD for each in self._parameters):
            return None
        return tuple(each.name for each in self._parameters if each.name != "seed" and _by_name(each))

    def missing(self, axes: Collection[str]) -> tuple[str, ...]:
        known = {*axes, "seed", self._seed_name(axes)}
        must = [each for each in self._parameters if each.default is each.empty and _by_name(each)]
        return tuple(each.name for each in must if each.name not in known)

    @property
    def values_only(self) -> frozenset[str]:
        return frozenset()

    @property
    def words(self) -> str:
        named = function_words(self.function)
        return named if self.place is None else f"{self.place} {digest(named.rpartition('.')[2])}"

    def make(self, point: Point, seed: int) -> Made:
        found = self._called(point, seed)
        if isinstance(found, Network):
            return Made(build_network(found, seed=seed), found)
        if not isinstance(found, nn.Module):
            raise InvalidInput(
                expected="build to return a torch.nn.Module or a Network",
                got=type(found).__name__,
                instead="return the module itself",
            )
        return Made(copy.deepcopy(found))

    def shape(self, point: Point) -> Hashable:
        return self.make(point, 0).shape

    def network(self, point: Point) -> Network | None:
        found = self._called(point, 0)
        return found if isinstance(found, Network) else None

    def _called(self, point: Point, seed: int) -> Any:
        given: dict[str, Cell] = {name: point[name] for name in self._wanted(point)}
        with seeded_random_state(seed):
            if torch.cuda.is_initialized():
                torch.cuda.manual_seed_all(seed)
            seed_name = self._seed_name(point)
            if seed_name is None:
                return self.function(**given)
            return self.function(**given, seed=seed) if seed_name == "seed" else self.function(seed, **given)

    def _wanted(self, point: Point) -> list[str]:
        """Axes of the point that it takes."""
        axes = self.axes
        return [name for name in point if (name in axes if axes is not None else name not in OWN_AXES)]

    @property
    def _parameters(self) -> list[inspect.Parameter]:
        try:
            return list(inspect.signature(self.function).parameters.values())
        except (TypeError, ValueError):
            return []

    def _seed_name(self, axes: Collection[str]) -> str | None:
        """Its parameter for the seed: the one of that name, or the only one where that is no axis."""
        names = [each.name for each in self._parameters]
        if "seed" in names:
            return "seed"
        alone = len(names) == 1 and names[0] not in axes and not inspect.isclass(self.function)
        return names[0] if alone and self._parameters[0].kind in _POSITIONAL else None


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _by_name(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
