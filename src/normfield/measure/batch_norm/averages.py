"""Population mean and variance of one layer from its batches' moments, in three ways.

Letters: b over batches (calls of the layer), m_b values per channel in one, μ_b and σ_b² its mean and biased variance,
M = Σ m_b, w_b weights that with that of a start sum to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

METHODS = ("exact", "simple", "exponential")


class Moments(NamedTuple):
    """One batch at one batch norm: m_b, and μ_b and σ_b² of each channel (C,), float64."""

    values: int
    mean: np.ndarray
    variance: np.ndarray

    @property
    def unbiased(self) -> np.ndarray:
        """σ_b² m_b/(m_b − 1)."""
        return self.variance * (self.values / (self.values - 1))


@dataclass(frozen=True)
class Average:
    """Population mean and variance (C,) with their standard errors, NaN from one batch."""

    mean: np.ndarray
    variance: np.ndarray
    mean_error: np.ndarray
    variance_error: np.ndarray
    start_weight: float


def averaged(batches: list[Moments], method: str, momentum: float) -> Average:
    """One layer's statistics, by the method asked for."""
    if method == "exact":
        return _exact(batches)
    count = len(batches)
    weights = np.full(count, 1 / count) if method == "simple" else _exponential_weights(count, momentum)
    return _weighted(batches, weights)


def _exact(batches: list[Moments]) -> Average:
    """Law of total variance: (1/(M − 1)) Σ m_b (σ_b² + (μ_b − μ)²)."""
    counts = np.array([batch.values for batch in batches], dtype=float)
    means = np.stack([batch.mean for batch in batches])
    within = np.stack([batch.variance for batch in batches])
    mean = counts @ means / counts.sum()
    variance = counts @ (within + (means - mean) ** 2) / (counts.sum() - 1)
    weights = counts / counts.sum()
    return Average(mean, variance, _error(means, weights), _error(within, weights), 0.0)


def _weighted(batches: list[Moments], weights: np.ndarray) -> Average:
    """Σ w_b μ_b and Σ w_b σ_b² m_b/(m_b − 1); what is left of the weight goes to the start, mean 0 and variance 1."""
    start = max(0.0, 1 - float(weights.sum()))
    means = np.stack([batch.mean for batch in batches])
    variances = np.stack([batch.unbiased for batch in batches])
    start = 0.0 if start < 1e-12 else start
    return Average(
        weights @ means,
        weights @ variances + start,
        _error(means, weights),
        _error(variances, weights),
        start,
    )


def _exponential_weights(count: int, momentum: float) -> np.ndarray:
    """α(1 − α)^(n − b): the last batch counts most."""
    return momentum * (1 - momentum) ** np.arange(count - 1, -1, -1.0)


def _error(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of Σ w_b v_b over independent batches: their standard deviation times √Σ w_b²."""
    if len(values) < 2:
        return np.full(values.shape[1], math.nan)
    return values.std(axis=0, ddof=1) * math.sqrt(float(np.square(weights).sum()))
