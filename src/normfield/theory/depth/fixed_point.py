"""The permutation-symmetric fixed point of a batch's covariance map, for ε = 0 and ε > 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from normfield.theory.depth.radius import radius_rule
from normfield.theory.depth.response import (
    CollapsedResponse,
    HomogeneousResponse,
    PiecewiseResponse,
    Response,
    ScaledResponse,
    Unit,
    UnscaledResponse,
)

# Variances that are scanned, over the largest possible, the least what is told from 0; then those near the one found.
_DOWN, _AROUND = np.geomspace(1, 1e-12, 61), np.geomspace(1.16, 0.86, 4)
_NEGLIGIBLE, _ROUND_OFF, _ROUNDS = 1e-11, 1e-14, 60
_ROUGH = 8  # nodes per panel while the fixed point is looked for

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

    def thinned(self) -> Batch:
        """The same with every other node."""
        return replace(self, x=self.x[::2], weights=self.weights[::2] / self.weights[::2].sum())

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


def rough_batch(unit: Unit, eps: float, weight_variance: float) -> Batch:
    """The batch at about the largest κ = σ_w²(E h₁² − E h₁h₂); κ = 0 where none but the collapsed one is fixed.

    At ε = 0 the scale is free, and one step reaches the fixed point from any.
    """
    x, weights = radius_rule(unit.batch_size)
    if eps == 0:
        return Batch(weight_variance, 0.0, x, weights)
    empty = Batch(0.0, eps, x, weights)
    rough = HomogeneousResponse(unit) if unit.is_homogeneous else ScaledResponse(unit, _ROUGH)
    return _from_above(empty, rough, weight_variance) or empty


def fixed_point(rough: Batch, unit: Unit, weight_variance: float, order: int) -> tuple[Batch, ResponseAt]:
    """The batch near a rough one, with the response of its units interpolated between the scales that it has."""
    if rough.eps == 0:
        unscaled = UnscaledResponse(unit, order)
        return replace(rough, variance=weight_variance * spread_after(rough, unscaled)), unscaled
    if rough.variance == 0:
        return rough, CollapsedResponse(unit)
    if unit.is_homogeneous:
        return rough, HomogeneousResponse(unit)
    near = PiecewiseResponse(unit, order, *_scales_of(rough))
    return _on_the_way_down(rough, near, weight_variance, rough.variance * _AROUND) or rough, near


def _from_above(empty: Batch, respond: ResponseAt, weight_variance: float) -> Batch | None:
    """From the largest κ that any scale could give."""
    s = np.linspace(0, 1, 101)
    largest = 1.01 * weight_variance * float(np.max(s * s * respond(s).spread))
    return _on_the_way_down(empty, respond, weight_variance, largest * _DOWN) if largest > 0 else None


def _on_the_way_down(
    like: Batch, respond: ResponseAt, weight_variance: float, variances: np.ndarray
) -> Batch | None:
    """The first κ, from the largest variance to the smallest, above which σ_w²·spread falls behind κ."""

    def excess(variance: float) -> float:
        return weight_variance * growth_of_spread(replace(like, variance=variance), respond) - 1

    for above, below in pairwise(variances):
        if excess(below) >= 0 > excess(above):
            return replace(like, variance=_crossing(excess, below, above))
    return None


def _crossing(excess: Callable[[float], float], low: float, high: float) -> float:
    """Where ``excess`` changes its sign, by false position with the weight of a stale end halved (Illinois)."""
    at_low, at_high = excess(low), excess(high)
    for _ in range(_ROUNDS):
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        at_middle = excess(middle)
        if abs(at_middle) < _ROUND_OFF or high - low < _ROUND_OFF * high:
            return middle
        if at_middle > 0:
            low, at_low, at_high = middle, at_middle, at_high / 2
        else:
            high, at_high, at_low = middle, at_middle, at_low / 2
    return (low + high) / 2


def _scales_of(batch: Batch) -> tuple[float, float]:
    """The least and largest s that count, with some room."""
    counted = batch.weights / batch.normaliser
    scales = batch.scales[counted > _NEGLIGIBLE * counted.max()]
    return 0.9 * float(scales.min()), min(1.1 * float(scales.max()), 1.0)


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
