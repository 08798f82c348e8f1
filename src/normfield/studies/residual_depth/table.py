"""The table of the study of residual depth, and what is read from it."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import column, where
from normfield.studies.frame import Rows

#: "Beyond 100 layers".
DEEP = 100


def depths(rows: Rows) -> list[int]:
    return [int(one) for one in np.unique(column(rows, "depth"))]


def deep(rows: Rows) -> list[int]:
    """The depths beyond 100 layers."""
    return [one for one in depths(rows) if one > DEEP]


def accuracies(rows: Rows, kind: str, depth: int) -> np.ndarray:
    """Test accuracy (learning rates,) in per cent, the mean over runs, learning rates in rising order."""
    own = where(rows, kind=kind, depth=depth)
    rates = column(own, "learning_rate")
    reached = column(own, "trained_accuracy")
    return 100 * np.array([reached[rates == rate].mean() for rate in np.unique(rates)])


def best(rows: Rows, kind: str, depth: int) -> float:
    """That of the best learning rate."""
    return float(np.max(accuracies(rows, kind, depth)))


def best_rate(rows: Rows, kind: str, depth: int) -> float:
    """The learning rate with the best accuracy."""
    rates = np.unique(column(where(rows, kind=kind, depth=depth), "learning_rate"))
    return float(rates[np.argmax(accuracies(rows, kind, depth))])
