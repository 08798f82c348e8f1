"""The best length of one unit along its direction, by bisection."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from normfield.train.decoupling.unit import Unit

_DOUBLINGS = 10


class Point(NamedTuple):
    """A length g, the loss there, and ∂_g f."""

    length: float
    loss: float
    slope: float


def bisected_length(unit: Unit, line: Tensor, start: float, halvings: int) -> Point:
    """The g next to ``start`` at which ∂_g f(g·v) changes sign, v the unit's outputs (m,) at length 1.

    The bracket goes from ``start`` towards where the loss falls, is ``|start|`` wide, and is moved on and doubled, at
    most ten times, while the loss falls at its far end; then it is halved. Of the last bracket the end is taken at
    which the loss still falls, so that a loss that is convex in g never rises.
    """
    low = _point(unit, line, start)
    if low.slope == 0:
        return low
    side, width = (-1.0 if low.slope > 0 else 1.0), abs(start)
    high = start + side * width
    for _ in range(_DOUBLINGS):
        there = _point(unit, line, high)
        if not side * there.slope < 0:
            break
        width *= 2
        low, high = there, high + side * width
    for _ in range(halvings):
        middle = _point(unit, line, (low.length + high) / 2)
        if side * middle.slope < 0:
            low = middle
        else:
            high = middle.length
    return low


def _point(unit: Unit, line: Tensor, length: float) -> Point:
    loss, slopes = unit.slope(length * line)
    return Point(length, loss, float(line @ slopes))
