"""Where runs diverge in each column of a map, how good they get below, and how far that is from a line of theory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from normfield.sweep import Bracket, Cell
from normfield.train.boundaries import Boundary, Summary, boundary_of, summarise


@dataclass(frozen=True)
class Ended:
    """One run of a map: column, learning rate and seed, whether it diverged, and what it was worth if it did not."""

    at: Cell
    learning_rate: float
    seed: int
    diverged: bool
    value: float | None = None


@dataclass(frozen=True)
class BoundaryColumn:
    """Where runs diverge at one value of the axis, and the best learning rate there.

    Attributes
    ----------
    at
        The axis's value.
    boundaries
        The bracket of each seed: between the highest η below which all runs ended, and the lowest that diverged.
    restarts
        How many seeds there were to be.
    onset
        log₁₀η half-way between the highest rate up to which no run diverged, and the next, where one did; None where
        the grid does not hold both.
    best_learning_rate, best_value
        η of the best mean over restarts, of those rates at which none diverged, and that mean.
    """

    at: Cell
    boundaries: tuple[Boundary, ...]
    restarts: int
    onset: float | None
    best_learning_rate: float | None
    best_value: float | None

    @property
    def summary(self) -> Summary:
        """All restarts taken together."""
        return summarise(self.boundaries, self.restarts)

    @property
    def log10(self) -> float | None:
        """Mean of log₁₀η at the boundary over the restarts whose boundary the grid holds; None where most do not."""
        held = sum(boundary.log10 is not None for boundary in self.boundaries)
        return self.summary.log10 if 2 * held > self.restarts else None

    @property
    def learning_rate(self) -> float | None:
        """10 to the power of ``log10``."""
        return None if self.log10 is None else 10.0**self.log10

    @property
    def error(self) -> float | None:
        """Error bar of ``log10`` in decades: the standard deviation over restarts and half a step of the grid."""
        if self.log10 is None:
            return None
        return math.hypot(self.summary.spread or 0.0, self.summary.half_width or 0.0)

    @property
    def status(self) -> str:
        """ "bracketed", or how many restarts were not and why."""
        return self.summary.status


@dataclass(frozen=True)
class Offset:
    """How far boundaries lie from a line, in decades of the learning rate.

    Attributes
    ----------
    median
        Of log₁₀(boundary/η*) over the columns that have both; above 0 networks train above η*.
    scatter
        Root mean square of the columns' distances from that median; None with one column.
    columns
        How many have both.
    """

    median: float
    scatter: float | None
    columns: int

    def __str__(self) -> str:
        scatter = "" if self.scatter is None else f", scatter {self.scatter:.2f}"
        return f"{self.median:+.2f} decades{scatter}"


def boundary_columns(
    runs: Iterable[Ended],
    columns: Sequence[Cell],
    rates: Sequence[float],
    restarts: int,
    *,
    largest_is_best: bool = False,
) -> tuple[BoundaryColumn, ...]:
    """What the runs of a map say of each column.

    Parameters
    ----------
    runs
        Those that ended; others are left out.
    columns
        Values of the axis.
    rates
        The learning rates of the grid, at least two.
    restarts
        Seeds of each pixel.
    largest_is_best
        Whether the value is an accuracy.
    """
    by_column: dict[Cell, list[Ended]] = {at: [] for at in columns}
    for run in runs:
        by_column[run.at].append(run)
    return tuple(_column(at, own, sorted(rates), restarts, largest_is_best) for at, own in by_column.items())


def offset_from(boundaries: Sequence[float | None], line: Sequence[float | None]) -> Offset | None:
    """Distance of log₁₀η at the boundary of each column from log₁₀η* there; None where no column has both."""
    apart = [
        one - other
        for one, other in zip(boundaries, line, strict=True)
        if one is not None and other is not None
    ]
    if not apart:
        return None
    median = statistics.median(apart)
    scatter = math.sqrt(statistics.fmean((each - median) ** 2 for each in apart)) if len(apart) > 1 else None
    return Offset(median, scatter, len(apart))


def _column(
    at: Cell, runs: Sequence[Ended], rates: Sequence[float], restarts: int, largest_is_best: bool
) -> BoundaryColumn:
    by_seed: dict[int, list[Ended]] = {}
    for run in runs:
        by_seed.setdefault(run.seed, []).append(run)
    boundaries = tuple(
        boundary_of(_bracket(own, rates), seed, "diverged") for seed, own in sorted(by_seed.items())
    )
    means = mean_values(runs)
    best = (max if largest_is_best else min)(means, key=means.__getitem__, default=None)
    onset = boundary_of(_bracket(runs, rates), 0, "diverged").log10
    return BoundaryColumn(at, boundaries, restarts, onset, best, None if best is None else means[best])


def mean_values(runs: Iterable[Ended]) -> Mapping[float, float]:
    """Mean value over restarts at each rate at which none diverged."""
    values: dict[float, list[float]] = {}
    diverged = set()
    for run in runs:
        if run.diverged:
            diverged.add(run.learning_rate)
        elif run.value is not None:
            values.setdefault(run.learning_rate, []).append(run.value)
    return {rate: statistics.fmean(own) for rate, own in values.items() if rate not in diverged}


def _bracket(runs: Iterable[Ended], rates: Sequence[float]) -> Bracket:
    """What was seen on log₁₀η; closed by two neighbours of the grid."""
    places = [math.log10(rate) for rate in rates]
    widest = max(b - a for a, b in pairwise(places))
    bracket = Bracket(places[0], resolution=1.001 * widest, limits=(places[0], places[-1]))
    for run in runs:
        bracket.tell(math.log10(run.learning_rate), run.diverged)
    return bracket
