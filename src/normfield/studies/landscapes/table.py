"""The table of landscapes met in training: its columns, and curves by step out of them."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows

NORMED, PLAIN = "with batch norm", "without batch norm"

#: Loss and gradient's norm before the step; over the lengths tried along the gradient: least and largest loss, furthest
#: that the gradient gets from what it was, and that per length and norm.
LOSS, GRADIENT = "trained_loss", "trained_gradient"
LOW, HIGH = "trained_lowest_loss", "trained_highest_loss"
CHANGE, SMOOTHNESS = "trained_gradient_change", "trained_smoothness"
#: The loss's range, highest minus lowest.
RANGE = "trained_loss_range"

#: What is larger, or not a number, is kept as this.
LARGEST = 1e30


def seeds(rows: Rows) -> list[int]:
    """Of the runs."""
    return sorted({int(number(row, "seed")) for row in rows})


def steps(rows: Rows) -> list[int]:
    """At which the landscape was looked at."""
    return sorted({int(number(row, "step")) for row in rows})


def edge(rows: Rows) -> float:
    """2/η, the curvature at which steps along an eigenvector neither grow nor shrink, without momentum."""
    return 2 / number(rows[0], "learning_rate")


def curve(rows: Rows, network: str, seed: int, name: str) -> np.ndarray:
    """A column of one run by step (steps,), NaN from where it diverged on."""
    own = sorted(where(rows, network=network, seed=seed), key=lambda row: number(row, "step"))
    return column(own, name)


def curves(rows: Rows, network: str, name: str) -> np.ndarray:
    """A column of all runs (runs, steps), NaN from where a run diverged on."""
    return np.stack([curve(rows, network, seed, name) for seed in seeds(rows)])


def judged(rows: Rows, network: str, name: str) -> np.ndarray:
    """A column of all runs (runs, steps), LARGEST from where a run diverged on."""
    return np.where(curves(rows, network, "diverged") == 1, LARGEST, curves(rows, network, name))


def relative_changes(rows: Rows, network: str) -> np.ndarray:
    """The furthest change of the gradient in multiples of its norm (runs, steps), LARGEST from where a run diverged."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = curves(rows, network, CHANGE) / curves(rows, network, GRADIENT)
    return np.where(curves(rows, network, "diverged") == 1, LARGEST, ratios)


def middles(rows: Rows, network: str, name: str) -> np.ndarray:
    """The median over the steps of each run (runs,)."""
    return np.median(judged(rows, network, name), axis=1)
