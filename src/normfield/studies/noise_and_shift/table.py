"""The table of shift and accuracy in training: its columns, and curves by step out of them."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows

PLAIN, NORMED, NOISY = "without batch norm", "with batch norm", "with noisy batch norm"
NETWORKS = (NORMED, NOISY, PLAIN)

#: Share of training images that are right; mean over the activations of Wasserstein-1 in standard deviations, and of
#: the drifts of mean and standard deviation, since the last look.
ACCURACY, SHIFT = "trained_accuracy", "trained_shift"
MEAN_DRIFT, DEVIATION_DRIFT = "trained_mean_drift", "trained_deviation_drift"


def seeds(rows: Rows) -> list[int]:
    """Of the runs."""
    return sorted({int(number(row, "seed")) for row in rows})


def steps(rows: Rows) -> list[int]:
    """At which shift and accuracy were taken."""
    return sorted({int(number(row, "step")) for row in rows})


def curves(rows: Rows, network: str, name: str) -> np.ndarray:
    """A column of all runs (runs, steps)."""
    by_run = [where(rows, network=network, seed=seed) for seed in seeds(rows)]
    return np.stack([column(sorted(run, key=lambda row: number(row, "step")), name) for run in by_run])


def ends(rows: Rows, network: str) -> np.ndarray:
    """Accuracy in percent at the last look (runs,)."""
    return 100 * curves(rows, network, ACCURACY)[:, -1]


def typical(rows: Rows, network: str, name: str) -> np.ndarray:
    """The median over the steps of each run (runs,)."""
    return np.median(curves(rows, network, name), axis=1)
