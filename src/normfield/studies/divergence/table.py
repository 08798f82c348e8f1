"""The table of diverging updates: one value a row, of several kinds, and arrays of each kind out of it."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import number, where
from normfield.studies.frame import Rows

NORMED, PLAIN = "with batch norm", "without batch norm"
NETWORKS = (NORMED, PLAIN)

#: What a row's value is. Its place and where it is at: batch and length of the step; block and percent of the update
#: (variance and mean); image and class; block and 0.
LOSS, VARIANCE, MEAN = "relative loss", "channel variance", "channel mean"
OUTPUT, AGREEMENT = "output gradient", "agreement of a kernel's gradients"
VALUE = "trained_value"

#: What is larger, or not a number, is kept as this.
LARGEST = 1e30
#: The loss over the one before the step from which on the step diverges [Bjorck].
DIVERGED = 1e3


def seeds(rows: Rows) -> list[int]:
    """Of the runs."""
    return sorted({int(number(row, "seed")) for row in rows})


def places(rows: Rows, kind: str, column: str = "place") -> list[float]:
    """Rising values of where the rows of a kind are: "place" or "at"."""
    return sorted({number(row, column) for row in where(rows, kind=kind)})


def of_run(rows: Rows, kind: str, network: str, seed: int) -> np.ndarray:
    """The values of a kind in one run (places, ats)."""
    own = where(rows, kind=kind, network=network, seed=seed)
    found = {(number(row, "place"), number(row, "at")): number(row, VALUE) for row in own}
    return np.array([[found[place, at] for at in places(rows, kind, "at")] for place in places(rows, kind)])


def of_runs(rows: Rows, kind: str, network: str) -> np.ndarray:
    """The values of a kind in all runs (runs, places, ats)."""
    return np.stack([of_run(rows, kind, network, seed) for seed in seeds(rows)])


def growth(rows: Rows, network: str, percent: int = 0) -> np.ndarray:
    """Channel variance in the last block over that in the first, at the first or last (-1) share (runs,)."""
    found = of_runs(rows, VARIANCE, network)[:, :, percent]
    with np.errstate(divide="ignore", invalid="ignore"):
        return found[:, -1] / found[:, 0]


def agreement(rows: Rows, network: str) -> np.ndarray:
    """Mean cosine between the output gradients of two images of the batch (runs,)."""
    return np.array([_mean_cosine(each) for each in of_runs(rows, OUTPUT, network)])


def _mean_cosine(gradients: np.ndarray) -> float:
    count = len(gradients)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    return float((np.square(units.sum(axis=0)).sum() - count) / (count * (count - 1)))
