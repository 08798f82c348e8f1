"""The table of percentiles in training: its columns, and curves by step out of them."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows

NORMED, PLAIN = "with batch norm", "without batch norm"

#: Of what one unit of the last hidden layer is given.
PERCENTILES = (15, 50, 85)
UNIT = tuple(f"trained_percentile_{each}" for each in PERCENTILES)
#: Over all units of that layer: mean distance from the 15th to the 85th percentile; root mean square distance of the
#: medians from where they were at the first look.
SPREAD, MOVED = "trained_spread", "trained_median_moved"
#: Share of test images that are right.
ACCURACY = "trained_test_accuracy"


def seeds(rows: Rows) -> list[int]:
    """Of the runs."""
    return sorted({int(number(row, "seed")) for row in rows})


def steps(rows: Rows) -> list[int]:
    """At which the network was looked at."""
    return sorted({int(number(row, "step")) for row in rows})


def curves(rows: Rows, network: str, name: str) -> np.ndarray:
    """A column of all runs (runs, steps)."""
    by_run = [where(rows, network=network, seed=seed) for seed in seeds(rows)]
    return np.stack([column(sorted(run, key=lambda row: number(row, "step")), name) for run in by_run])


def spread_factors(rows: Rows, network: str, first: int = 0) -> np.ndarray:
    """Largest over least spread of each run, from one look on (runs,); NaN where a spread is not positive."""
    found = curves(rows, network, SPREAD)[:, first:]
    least = np.where(found > 0, found, np.nan).min(axis=1)
    return found.max(axis=1) / least


def farthest(rows: Rows, network: str) -> np.ndarray:
    """How far the medians get from where they were, at most, in each run (runs,)."""
    return curves(rows, network, MOVED).max(axis=1)
