"""What averaging alone leaves between running and exact means where the weights stand still."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.measure.batch_norm.averages import Moments


class Averaging(NamedTuple):
    """Of torch's running mean r = (weight left) · 0 + Σ w_b μ_b after some updates: that weight, and Σ w_b²."""

    start_weight: float
    squared_weights: float

    @classmethod
    def of(cls, norm: _BatchNorm) -> Averaging:
        """NaN where it is not known: no count of updates, or nothing that they wrote."""
        updates = None if norm.num_batches_tracked is None else int(norm.num_batches_tracked)
        if norm.momentum is None:
            return cls._cumulative(updates)
        return cls._exponential(norm.momentum, updates)

    @classmethod
    def _cumulative(cls, updates: int | None) -> Averaging:
        if updates is None:
            return cls(math.nan, math.nan)
        return cls(0.0, 1 / updates) if updates else cls(1.0, math.nan)

    @classmethod
    def _exponential(cls, momentum: float, updates: int | None) -> Averaging:
        """(1 − α)^n, and α/(2 − α)·(1 − (1 − α)^(2n)): without a count the limit of many."""
        if momentum == 0 or updates == 0:
            return cls(1.0, math.nan)
        limit = momentum / (2 - momentum)
        if updates is None:
            return cls(math.nan, limit)
        left = (1 - momentum) ** updates
        return cls(left, limit * (1 - left**2))


def by_chance(calls: list[Moments], variance: np.ndarray, averaging: Averaging) -> float:
    """s_b √(Σ w_b² + 1/n) in deviations √variance, root mean square; NaN from a single batch or without updates."""
    if len(calls) < 2:
        return math.nan
    spread = np.stack([call.mean for call in calls]).var(axis=0, ddof=1) / variance
    return math.sqrt(float(spread.mean()) * (averaging.squared_weights + 1 / len(calls)))


def of_the_start(mean: np.ndarray, variance: np.ndarray, averaging: Averaging) -> float:
    """The weight left at the start, mean 0, times |μ| in deviations √variance, root mean square."""
    return averaging.start_weight * math.sqrt(float((mean**2 / variance).mean()))
