"""Points from named axes, and a stable name for each."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normfield.errors import InvalidInput
from normfield.sweep.task import Cell, Point


@dataclass(frozen=True)
class Grid:
    """All combinations of the values of named axes, the last axis fastest; nothing is held but the axes.

    Parameters
    ----------
    axes : mapping of name to values
        Each value a string, a number, a truth value or None; whole numbers and floats that are equal count as one.

    Raises
    ------
    InvalidInput
        No axis, an axis without values or with one of them twice, a value of another type or not finite.

    Examples
    --------
    >>> grid = Grid({"gamma": [0.1, 1.0], "seed": [0, 1]})
    >>> len(grid), next(iter(grid))
    (4, {'gamma': 0.1, 'seed': 0})
    """

    axes: Mapping[str, Sequence[Cell]]

    def __post_init__(self) -> None:
        if not isinstance(self.axes, Mapping) or not self.axes:
            raise InvalidInput(
                expected='axes by name, e.g. {"gamma": [0.1, 1.0]}', got=repr(self.axes), instead="name one"
            )
        object.__setattr__(self, "axes", {name: _axis(name, values) for name, values in self.axes.items()})

    def __len__(self) -> int:
        return math.prod(len(values) for values in self.axes.values())

    def __iter__(self) -> Iterator[dict[str, Cell]]:
        for values in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))


def listed(points: Iterable[Point]) -> tuple[dict[str, Cell], ...]:
    """Points that were given one by one, checked as a grid's are.

    Raises
    ------
    InvalidInput
        None, one twice, axes that differ from the first point's, a value that is no cell.
    """
    given = [{str(name): _cell(name, value) for name, value in point.items()} for point in points]
    if not given:
        raise InvalidInput(expected="at least one point", got="none")
    seen: dict[str, int] = {}
    for i, point in enumerate(given):
        if point.keys() != given[0].keys():
            raise InvalidInput(
                expected=f"every point with the axes {', '.join(given[0])}",
                got=f"point {i} with {', '.join(point)}",
                instead="give each point all axes",
            )
        first = seen.setdefault(point_key(point), i)
        if first != i:
            raise InvalidInput(
                expected="every point once", got=f"{point} at places {first} and {i}", instead="leave one out"
            )
    return tuple(given)


def point_key(point: Point, settings: Mapping[str, Cell] | None = None) -> str:
    """20 hexadecimal digits that name a point, and what is run there; the order of axes is of no account."""
    named = {name: _canonical(value) for name, value in point.items()}
    text = json.dumps([named, dict(settings or {})], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _axis(name: Any, values: Any) -> tuple[Cell, ...]:
    if not isinstance(name, str) or not name:
        raise InvalidInput(expected="a name for every axis", got=repr(name))
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidInput(expected=f"a list of values on the axis {name}", got=repr(values))
    read = tuple(_cell(name, value) for value in values)
    if not read:
        raise InvalidInput(expected=f"at least one value on the axis {name}", got="none")
    seen: set[str] = set()
    for value in read:
        known = json.dumps(_canonical(value))
        if known in seen:
            raise InvalidInput(
                expected=f"every value once on the axis {name}",
                got=f"{value!r} twice",
                instead="leave one out",
            )
        seen.add(known)
    return read


def _cell(name: Any, value: Any) -> Cell:
    """A NumPy scalar becomes Python's; what no store can hold is refused."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise InvalidInput(
        expected=f"strings, finite numbers or truth values on the axis {name}",
        got=repr(value),
        instead="name what they stand for, and let the build function look it up",
    )


def _canonical(value: Cell) -> Cell:
    """Equal numbers in one form, the two zeros among them; a truth value is no number."""
    return float(value) + 0.0 if isinstance(value, int | float) and not isinstance(value, bool) else value
