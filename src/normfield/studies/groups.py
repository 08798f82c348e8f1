"""Which points of a study are measured together: each by itself, or all that share some of their columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from normfield.studies.frame import Row, Rows

S = TypeVar("S")


def each_alone(points: Rows) -> Sequence[Rows]:
    """Every point by itself."""
    return [[point] for point in points]


def sharing(*columns: str) -> Callable[[Rows], Sequence[Rows]]:
    """A way to group: together are the points with the same values in these columns, groups in the order of points."""

    def groups(points: Rows) -> Sequence[Rows]:
        found: dict[tuple[object, ...], list[Row]] = {}
        for point in points:
            found.setdefault(tuple(point[name] for name in columns), []).append(point)
        return list(found.values())

    return groups


def one_by_one(measure: Callable[[S, Row], Row]) -> Callable[[S, Rows], Sequence[Row]]:
    """A measurement of one point as one of a group."""

    def measured(settings: S, group: Rows) -> Sequence[Row]:
        return [measure(settings, point) for point in group]

    return measured
