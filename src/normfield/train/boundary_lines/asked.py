"""What a trace is asked, read and checked: its axis, its first guesses, its limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from normfield.errors import InvalidInput
from normfield.sweep import Cell, Grid
from normfield.train.brackets import LIMITS
from normfield.train.settings import positive
from normfield.train.sweeps.theory_rates import TheoryRates

TRACED = ("learning_rate", "seed")
_START = 0.1


def one_axis(axis: Any) -> tuple[str, tuple[Cell, ...]]:
    """Name and values of the one axis.

    Raises
    ------
    InvalidInput
        None or several, one of the trace's own, or values that are none.
    """
    grid = Grid(axis)
    names = list(grid.axes)
    if len(names) > 1 or names[0] in TRACED:
        raise InvalidInput(
            expected="one axis beside learning_rate and seed, which are traced",
            got=", ".join(names),
            instead='give e.g. axis={"gamma": [0.1, 1.0]}, and restarts= for seeds',
        )
    return names[0], tuple(grid.axes[names[0]])


def guide(start: Any, lines: Sequence[TheoryRates], columns: int, limits: tuple[float, float]) -> list[float]:
    """log₁₀ of the first guess at each column: what was given, η* of the first line where it has them all, or 0.1."""
    if start is not None:
        given = list(start) if isinstance(start, Sequence) else [start] * columns
        for rate in given:
            positive(rate, "start")
        return [math.log10(rate) for rate in given]
    found = [x for line in lines[:1] for x in line.log10 if x is not None]
    guesses = found if len(found) == columns else [math.log10(_START)] * columns
    return [min(max(guess, limits[0]), limits[1]) for guess in guesses]


def limits_of(given: Any) -> tuple[float, float]:
    """log₁₀ of the lowest and highest learning rate that are run."""
    if given is None:
        return LIMITS
    if not isinstance(given, Sequence) or len(given) != 2:
        raise InvalidInput(expected="limits as (lowest, highest) learning rate", got=repr(given))
    for rate in given:
        positive(rate, "limits")
    return math.log10(given[0]), math.log10(given[1])
