"""The pixels of a map: what the restarts at one learning rate and one value of the axis gave."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from normfield.sweep import Cell, Outcome, Point, Trial
from normfield.train.descent import DIVERGED
from normfield.train.sweeps.boundary_columns import Ended


@dataclass(frozen=True)
class Pixel:
    """Restarts at one point of a map.

    Attributes
    ----------
    at, learning_rate
        Where it is.
    ended, diverged, failed
        How many restarts trained to the end, diverged, and raised.
    mean
        Mean value of those that ended; None without any.
    spread
        Standard deviation of these; None with fewer than two.
    """

    at: Cell
    learning_rate: float
    ended: int
    diverged: int
    failed: int
    mean: float | None
    spread: float | None


def ended_run(point: Point, outcome: Outcome, axis: str, value: str) -> Ended | None:
    """A trial as a run of the map; None where it raised."""
    if outcome.error is not None:
        return None
    found = outcome.values.get(value)
    return Ended(
        point[axis],
        float(point["learning_rate"]),  # pyright: ignore[reportArgumentType]
        int(point["seed"]),  # pyright: ignore[reportArgumentType]
        outcome.values["status"] == DIVERGED,
        found if isinstance(found, float) else None,
    )


def pixel_rows(
    trials: Iterable[Trial], axis: str, columns: Sequence[Cell], rates: Sequence[float], value: str
) -> tuple[tuple[Pixel, ...], ...]:
    """Rows of rising learning rate, in each a pixel for each column."""
    found: dict[tuple[Cell, float], list[Ended | None]] = {(at, rate): [] for rate in rates for at in columns}
    for trial in trials:
        run = ended_run(trial.point, trial.outcome, axis, value)
        found[trial.point[axis], float(trial.point["learning_rate"])].append(run)  # pyright: ignore[reportArgumentType]
    return tuple(tuple(_pixel(at, rate, found[at, rate]) for at in columns) for rate in rates)


def _pixel(at: Cell, rate: float, runs: Sequence[Ended | None]) -> Pixel:
    ended = [run for run in runs if run is not None and not run.diverged]
    known = [run.value for run in ended if run.value is not None]
    return Pixel(
        at=at,
        learning_rate=rate,
        ended=len(ended),
        diverged=sum(run is not None and run.diverged for run in runs),
        failed=sum(run is None for run in runs),
        mean=statistics.fmean(known) if known else None,
        spread=statistics.stdev(known) if len(known) > 1 else None,
    )
