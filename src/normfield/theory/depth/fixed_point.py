"""The permutation-symmetric fixed point of a batch's covariance map, for ε = 0 and ε > 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import brentq

from normfield.theory.depth.radius import radius_rule
from normfield.theory.depth.response import Response

# The least variance that is told from 0, relative to the largest possible; points of the scan per decade.
_LEAST, _PER_DECADE = 1e-12, 8

ResponseAt = Callable[[np.ndarray], Response]


@dataclass(frozen=True)
class FixedPoint:
    """Σ* = q*[(1 − c*)I + c*11ᵀ], the covariance of one unit's activations; numbers, or arrays over a grid.

    Attributes
    ----------
    second_moment
        q* = E h², of one sample.
    correlation
        c*, of two samples of one batch.
    spread
        μ* = q*(1 − c*); times σ_w² it is the variance that the next batch norm divides by.
    cross_batch
        (E h)², the covariance of two samples of different batches.
    """

    second_moment: Any
    correlation: Any
    spread: Any
    cross_batch: Any


@dataclass(frozen=True)
class Batch:
    """A batch whose centred pre-activations are normal with covariance κG, κ = ``variance``.

    Attributes
    ----------
    variance, eps
        κ and ε.
    x, weights
        Nodes of χ²_{B−1}/B, so that r² = Bκx.
    """

    variance: float
    eps: float
    x: np.ndarray
    weights: np.ndarray

    @property
    def normaliser(self) -> np.ndarray:
        """(r² + Bε)/B = κx + ε at every node."""
        return self.variance * self.x + self.eps

    @property
    def scales(self) -> np.ndarray:
        """s = r/√(r² + Bε) at every node; 1 at ε = 0."""
        return np.sqrt(self.variance * self.x / self.normaliser)

    def average(self, values: np.ndarray) -> float:
        """Over the radius."""
        return float(self.weights @ values)


def spread_after(batch: Batch, respond: ResponseAt) -> float:
    """E h₁² − E h₁h₂ of the batch's activations."""
    s = batch.scales
    return batch.average(s * s * respond(s).spread)


def growth_of_spread(batch: Batch, respond: ResponseAt) -> float:
    """The same divided by κ, finite also at κ = 0."""
    return batch.average(batch.x / batch.normaliser * respond(batch.scales).spread)


def fixed_point(respond: ResponseAt, batch_size: float, eps: float, weight_variance: float) -> Batch:
    """The batch at the largest κ = σ_w²(E h₁² − E h₁h₂); κ = 0 where there is none but the collapsed one.

    At ε = 0 one step reaches it. Else the ratio of the two sides is followed from the largest possible κ downwards to
    its first crossing of 1.
    """
    x, weights = radius_rule(batch_size)
    if eps == 0:
        any_scale = Batch(1.0, 0.0, x, weights)
        return Batch(weight_variance * spread_after(any_scale, respond), 0.0, x, weights)

    def excess(log_variance: float) -> float:
        return weight_variance * growth_of_spread(Batch(np.exp(log_variance), eps, x, weights), respond) - 1

    s = np.linspace(0, 1, 101)
    largest = weight_variance * float(np.max(s * s * respond(s).spread))
    log_variance = _last_crossing(excess, 1.01 * largest) if largest > 0 else -np.inf
    return Batch(float(np.exp(log_variance)), eps, x, weights)


def _last_crossing(excess: Callable[[float], float], largest: float) -> float:
    """Where ``excess`` first becomes positive on the way down from ln ``largest``; −∞ where it does not."""
    decades = -np.log10(_LEAST)
    grid = np.log(largest) - np.linspace(0, decades * np.log(10), round(decades * _PER_DECADE))
    for above, below in pairwise(grid):
        if excess(below) > 0:
            root: Any = brentq(excess, below, above, xtol=1e-14)
            return float(root)
    return -np.inf


def activations_at(batch: Batch, respond: ResponseAt) -> FixedPoint:
    """The covariance of activations that the batch's pre-activations give."""
    at = respond(batch.scales)
    second, spread = batch.average(at.second), spread_after(batch, respond)
    return FixedPoint(
        second_moment=second,
        correlation=1 - spread / second if second > 0 else np.nan,
        spread=spread,
        cross_batch=batch.average(at.mean) ** 2,
    )
