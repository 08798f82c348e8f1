"""When a network counts as trained, and how deep those of a column of the map train."""

from __future__ import annotations

import math

import numpy as np

from normfield.studies.curves import column
from normfield.studies.frame import Rows

#: Trained: half of the test images right. Untrained: twice what guessing one of ten classes gives, or less.
TRAINED, UNTRAINED = 0.5, 0.2
#: "Beyond about 16ξ": so many times as deep.
BEYOND = 1.25


def reach(rows: Rows) -> float:
    """The depth down to which networks train, by straight lines between the depths tried; within these.

    Parameters
    ----------
    rows
        Of one batch size, γ, β and ε; several networks of one depth are averaged.
    """
    depths, accuracies = by_depth(rows)
    if not np.all(np.isfinite(accuracies)):
        return math.nan
    deep_enough = np.flatnonzero(accuracies >= TRAINED)
    if not deep_enough.size:
        return float(depths[0])
    last = int(deep_enough[-1])
    if last == len(depths) - 1:
        return float(depths[-1])
    share = (accuracies[last] - TRAINED) / (accuracies[last] - accuracies[last + 1])
    return float(depths[last] + share * (depths[last + 1] - depths[last]))


def is_inside(rows: Rows) -> bool:
    """Whether the depth down to which networks train lies between the depths tried."""
    depths, _ = by_depth(rows)
    return bool(depths[0] < reach(rows) < depths[-1])


def by_depth(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Depths in rising order, and at each the mean accuracy of its networks."""
    depths, accuracies = column(rows, "depth"), column(rows, "trained_accuracy")
    found = np.unique(depths)
    return found, np.array([accuracies[depths == depth].mean() for depth in found])


def most(values: np.ndarray) -> float:
    """The largest; NaN where there is none or one is missing."""
    return float(np.max(values)) if values.size else math.nan


def least(values: np.ndarray) -> float:
    """The smallest; NaN where there is none or one is missing."""
    return float(np.min(values)) if values.size else math.nan
