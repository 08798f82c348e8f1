"""Rates at a fixed point: of gradients going backwards, and of what differs from the fixed point going forwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from normfield.theory.depth.fixed_point import Batch, ResponseAt, spread_after
from normfield.theory.depth.response import Unit

_DIFFERENCE = 1e-4
# Two samples leave no gradient that could grow, three one without a mean.
_WITHOUT_EPS: dict[float, float] = {2: math.nan, 3: math.inf}


@dataclass(frozen=True)
class Rates:
    """Factors per layer.

    Attributes
    ----------
    explosion_rate
        λ_G, of the squared norm of gradients, going backwards.
    norm_rate, correlation_rate
        λ_L and λ_M, of per-sample norms' and of correlations' distance to the fixed point, going forwards.
    scale_rate
        Of the common scale's distance; 0 at ε = 0, where one step forgets it.
    cross_batch_rate
        λ_CB, of the covariance of two batches that are normalised separately.
    """

    explosion_rate: float
    norm_rate: float
    correlation_rate: float
    scale_rate: float
    cross_batch_rate: float


def rates(respond: ResponseAt, batch: Batch, unit: Unit, weight_variance: float) -> Rates:
    """All rates, with κ the variance of centred pre-activations, x = χ²_{B−1}/B, D = κx + ε, s² = κx/D, b = 1/B.

    λ_G = σ_w²γ² E_x[(slopes − (2s² − s⁴)·slopes_along)/D], λ_L = σ_w²/(2(1−b))·E_x[(x²/D)·by_norm],
    λ_M = σ_w² E_x[(x²/D)·by_correlation], λ_CB = (σ_w/(1−b)·E_x[(x/√D)·first])². At ε = 0 these are Yang's.
    """
    b, x, D, s = 1 / unit.batch_size, batch.x, batch.normaliser, batch.scales
    at = respond(s)
    projected = at.slopes - (2 * s**2 - s**4) * at.slopes_along
    growth = weight_variance * unit.gamma**2 * batch.average(projected / D)
    return Rates(
        explosion_rate=_WITHOUT_EPS.get(unit.batch_size, growth) if batch.eps == 0 else growth,
        norm_rate=weight_variance / (2 * (1 - b)) * batch.average(x * x / D * at.by_norm),
        correlation_rate=weight_variance * batch.average(x * x / D * at.by_correlation),
        scale_rate=_scale_rate(respond, batch, weight_variance),
        cross_batch_rate=weight_variance * (batch.average(x / np.sqrt(D) * at.first) / (1 - b)) ** 2,
    )


def _scale_rate(respond: ResponseAt, batch: Batch, weight_variance: float) -> float:
    """The derivative of σ_w²(E h₁² − E h₁h₂) in κ."""
    if batch.eps == 0:
        return 0.0
    if batch.variance == 0:
        here = respond(np.zeros(1)).spread[0]
        return weight_variance * here / batch.eps * batch.average(batch.x)
    up, down = (
        spread_after(Batch(batch.variance * np.exp(step), batch.eps, batch.x, batch.weights), respond)
        for step in (_DIFFERENCE, -_DIFFERENCE)
    )
    return weight_variance * (up - down) / (2 * _DIFFERENCE * batch.variance)
