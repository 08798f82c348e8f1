"""Which learning rates worked in the runs: those that ended about as well as the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normfield.train import Run

#: How much worse than the best run's loss still counts as usable.
MARGIN = 0.1


@dataclass(frozen=True)
class Usable:
    """A stretch of learning rates whose runs all ended within 10 % of the best loss.

    Attributes
    ----------
    low, high
        The smallest and the largest learning rate of these runs.
    runs
        How many they are.
    by
        Which loss was compared: "test loss" or "training loss".
    open_below
        Whether no smaller learning rate was tried, so that the range may go on.
    """

    low: float
    high: float
    runs: int
    by: str
    open_below: bool = False


def usable_range(runs: Sequence[Run], best: Run | None) -> Usable | None:
    """The learning rates around the best run's, of the same restart, whose runs ended within 10 % of it.

    Parameters
    ----------
    runs
        All of them; other restarts than the best run's are left out.
    best
        The run to compare with; None gives None.
    """
    if best is None:
        return None
    told = [
        run for run in runs if run.seed == best.seed and run.ended_worse is not None
    ]  # none was cut short
    ours = sorted(told, key=lambda run: run.learning_rate)
    limit = (1 + MARGIN) * (_loss(best) or 0.0)
    good = [(loss := _loss(run)) is not None and loss <= limit for run in ours]
    first = last = ours.index(best)
    while first > 0 and good[first - 1]:
        first -= 1
    while last + 1 < len(ours) and good[last + 1]:
        last += 1
    by = "training loss" if best.test_loss is None else "test loss"
    return Usable(ours[first].learning_rate, ours[last].learning_rate, last - first + 1, by, first == 0)


def _loss(run: Run) -> float | None:
    return run.final_loss if run.test_loss is None else run.test_loss
