"""The table of runs at several learning rates: its columns, and curves by epoch out of them."""

from __future__ import annotations

import math

import numpy as np

from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows

PLAIN, NORMED = "without batch norm", "with batch norm"
CLASSES = 10
GUESSING = math.log(CLASSES)

# Columns of training loss and test accuracy after epoch 0, 1, …
LOSS, TEST = "trained_loss", "trained_test_accuracy"


def rates(rows: Rows) -> list[float]:
    """Small, middle, large."""
    return sorted({number(row, "learning_rate") for row in rows})


def by_epoch(rows: Rows, kind: str) -> np.ndarray:
    """A curve's columns (runs, epochs)."""
    names = [
        name for name in rows[0] if name.startswith(f"{kind}_") and name.removeprefix(f"{kind}_").isdigit()
    ]
    return np.stack([column(rows, name) for name in names], axis=1)


def last(rows: Rows, network: str, rate: float, kind: str) -> np.ndarray:
    """A curve's end, run by run (runs,)."""
    return by_epoch(where(rows, network=network, learning_rate=rate), kind)[:, -1]


def accuracy(rows: Rows, network: str, rate: float) -> float:
    """Of the test images at the end, in percent, the mean over runs."""
    return 100 * float(last(rows, network, rate, TEST).mean())
