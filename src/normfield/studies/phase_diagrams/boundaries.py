"""What a map says, column by column: where runs explode, where they end worse than they began, and the best rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows
from normfield.studies.phase_diagrams.axis import Axis


@dataclass(frozen=True)
class Line:
    """One column of a map; learning rates as log₁₀η, NaN where the grid does not reach them.

    Attributes
    ----------
    value
        Of the number that varies across the map.
    boundary
        Half-way between the rates below which no run explodes and the first at which one does.
    every
        The same where every run explodes.
    worse
        The same where a run ends with a higher loss than it began, or explodes.
    best, best_loss
        The rate of the least mean test loss, and that loss.
    theory
        log₁₀η* of each theory.
    inside
        How many cells lie above the first that explodes, and in how many of these no run does.
    """

    value: float
    boundary: float
    every: float
    worse: float
    best: float
    best_loss: float
    theory: Mapping[str, float]
    inside: tuple[int, int]

    def above(self, theory: str) -> float:
        """Decades from a theory's η* up to the boundary."""
        return self.boundary - self.theory[theory]


@dataclass(frozen=True)
class Map:
    """One panel, by columns."""

    panel: str
    lines: tuple[Line, ...]

    def above(self, theory: str) -> np.ndarray:
        """Decades from a theory's η* up to the boundary of each column whose boundary the grid reaches."""
        found = np.array([line.above(theory) for line in self.lines])
        return found[np.isfinite(found)]

    def values(self, name: str) -> np.ndarray:
        """One attribute of all columns."""
        return np.array([getattr(line, name) for line in self.lines], dtype=float)


def maps(rows: Rows, axis: Axis) -> list[Map]:
    """The panels of a table, in its order."""
    return [_map(name, where(rows, panel=name), axis) for name in dict.fromkeys(row["panel"] for row in rows)]


def _map(name: object, rows: Rows, axis: Axis) -> Map:
    values = dict.fromkeys(number(row, axis.column) for row in rows)
    return Map(str(name), tuple(_line(where(rows, **{axis.column: value}), axis) for value in values))


def _line(rows: Rows, axis: Axis) -> Line:
    rates, lost, runs = (column(rows, name) for name in ("log10_eta", "diverged", "runs"))
    losses = column(rows, "test_loss")
    best = int(np.nanargmin(losses)) if np.any(np.isfinite(losses)) else None
    return Line(
        value=number(rows[0], axis.column),
        boundary=first_rate(rates, lost > 0),
        every=first_rate(rates, lost >= runs),
        worse=first_rate(rates, column(rows, "ended_worse") > 0),
        best=math.nan if best is None else float(rates[best]),
        best_loss=math.nan if best is None else float(losses[best]),
        theory={theory.column: _log10(number(rows[0], theory.column)) for theory in axis.theories},
        inside=_inside(lost > 0),
    )


def first_rate(rates: np.ndarray, happens: np.ndarray) -> float:
    """Half-way between the rates up to which it never happens and the next; NaN where it always or never does."""
    if happens[0] or not np.any(happens):
        return math.nan
    k = int(np.argmax(happens))
    return float(rates[k - 1] + rates[k]) / 2


def _inside(explodes: np.ndarray) -> tuple[int, int]:
    """Cells above the first that explodes, and those of them that do not; none where there is no boundary."""
    if explodes[0] or not np.any(explodes):
        return 0, 0
    above = explodes[int(np.argmax(explodes)) + 1 :]
    return len(above), int(np.sum(~above))


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else math.nan
