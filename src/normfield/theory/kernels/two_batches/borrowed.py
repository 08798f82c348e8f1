r"""Exact moments of points that borrow the statistics of a batch they do not belong to, φ(x) = c₁x + c₂|x|, β = 0.

As at inference with statistics of the training batch: N points of which the first B are the batch, y = z − (mean of
the batch), R = ‖y₁‖² + Bε with y₁ the batch's part, h = γ√B φ(y)/√R for all. R moves with the batch alone, so that
with D the projection onto it

    J = γ√B diag φ′(y) (H − y yᵀD/R)/√R,    H = I − (1/B) 1 1ᵀD.

The derivation of `homogeneous` holds with the weight e^{−s yᵀDy}: y ~ N(0, Σ), Σ = HKHᵀ, becomes Gaussian with
Π = (Σ⁻¹ + 2sD)⁻¹ times det(I + 2sΣ₁₁)^{−1/2}, and with T = HΘHᵀ, F = I − sΠD, E = FTFᵀ, τ = tr(DTDΠ), a, ρ, sinθ of Π,

    E[h hᵀ]  = γ²B ∫ ds w M,    M = Π∘P + κ aaᵀ∘sinθ,    P = c₁² + κ asin ρ,
    E[JΘJᵀ] = γ²B ∫ ds w [P∘E + (s²τ/2) M + ½κ sinθ∘(d_i a_j/a_i + d_j a_i/a_j)],   d = diag(E) − diag(T).

With Π = F₀ diag(1/(1 + 2sσ²)) F₀ᵀ of `joint_factor` all sums are free of cancellation. Without further points this is
the kernel of one batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.theory.kernels.layer.centred import CentredCovariance, centred_covariance, host
from normfield.theory.kernels.layer.homogeneous_pairs import Homogeneous, inverse, pair_slopes, pairs
from normfield.theory.kernels.layer.moments import BatchNormalisation, LayerMoments
from normfield.theory.kernels.layer.nodes import Density, trapezoid
from normfield.theory.kernels.two_batches.joint_factor import JointFactor, joint_factor
from normfield.theory.kernels.two_batches.parts import borrowing, centred_by

_SAFETY = 10.0


@dataclass(frozen=True)
class _Tangent:
    """UᵀT₁ (r₁, N), UᵀT₁₁U (r₁, r₁) and T (N, N)."""

    rows: Any
    inner: Any
    whole: Any


def borrowed_moments(
    nngp: Any,
    ntk: Any | None,
    batch: int,
    norm: BatchNormalisation,
    c1: float,
    c2: float,
    tolerance: float = 1e-6,
    resting: float | None = None,
) -> LayerMoments:
    """Moments of a layer at a batch and further points, all normalised with the batch's statistics.

    Parameters
    ----------
    nngp : array
        K (N, N), the batch's points first.
    ntk : array, optional
        Θ (N, N); without it nothing is pulled.
    batch
        B ≤ N.
    norm
        γ and ε of the batch norm; β must be 0.
    c1, c2, resting
        φ(x) = c₁x + c₂|x|, and φ′(0) for points without variance (c₁ if not given).
    tolerance
        Relative error of the largest entries.

    Raises
    ------
    InvalidInput
        β is not 0, the batch's samples are all alike at ε = 0, or its variance at ε = 0 lies in so few directions (2,
        with Θ 4) that moments of the further points are infinite.
    """
    if norm.beta != 0:
        raise InvalidInput(
            expected="beta = 0 for the exact kernel", got=f"{norm.beta}", instead="use concentrated"
        )
    phi = Homogeneous(c1, c2, resting)
    parts = borrowing(batch, nngp.shape[0])
    own = centred_covariance(nngp[:batch, :batch], norm.eps)
    require_finite(own, 2 if ntk is None else 4)
    sigma = centred_by(nngp, parts) / own.scale
    factor = joint_factor(own, sigma[:batch, batch:], sigma[batch:, batch:])
    tangent = None if ntk is None else _tangent(factor, centred_by(ntk, parts), batch)
    by_scale, pulled, error = _integrals(own, factor, tangent, phi, tolerance)
    return LayerMoments(
        second=norm.gamma**2 * by_scale,
        pulled=None if pulled is None else pulled * (norm.gamma**2 / own.scale),
        by_scale=by_scale,
        by_shift=pair_slopes(phi, sigma, _variances(factor, np.ones(factor.rank))),
        mean=norm.gamma * _mean(own, factor, phi),
        error=error,
    )


def require_finite(own: CentredCovariance, directions: int) -> None:
    """Refuse a batch of so few directions: E[1/R] needs more than 2, E[1/R²] of the gradient more than 4.

    Raises
    ------
    InvalidInput
    """
    if own.eps == 0 and own.rank <= directions:
        raise InvalidInput(
            expected=f"eps > 0, or a batch whose variance lies in more than {directions} directions, since other "
            "points divided by it have infinite moments",
            got=f"eps = 0 and {own.rank} directions",
            instead="give eps > 0",
        )


def _tangent(factor: JointFactor, whole: Any, batch: int) -> _Tangent:
    rows = factor.directions.T @ whole[:batch, :]
    return _Tangent(rows, rows[:, :batch] @ factor.directions, whole)


def _variances(factor: JointFactor, shrink: np.ndarray) -> Any:
    """Diagonal of Π, exactly 0 where it is round-off."""
    space = array_namespace(factor.loadings)
    stacked = factor.stacked
    found = space.vecdot(stacked * factor.array(shrink), stacked)
    return space.where(found <= 64 * np.finfo(float).eps * space.max(found), space.zeros_like(found), found)


def _integrals(
    own: CentredCovariance, factor: JointFactor, tangent: _Tangent | None, phi: Homogeneous, tolerance: float
) -> tuple[Any, Any, float]:
    """B ∫ ds w M, B ∫ ds w (…) and the error: the square of the change when every second node is left out."""
    # Further points keep their variance as s grows: their gradients fall by one power of s less.
    densities = [Density(own)] if tangent is None else [Density(own), Density(own, power=2.0)]
    rule = trapezoid(own, densities, 1 - math.log10(tolerance))
    sums: list[list[Any]] = [[0.0, 0.0], [0.0, 0.0]]
    for k, (s, weight) in enumerate(zip(rule.nodes.tolist(), rule.weights.tolist(), strict=True)):
        for kind, value in enumerate(_integrands(s, factor, tangent, phi)):
            if value is not None:
                sums[kind][k % 2] = sums[kind][k % 2] + weight * own.size * value
    changes = [_relative(even - odd, even + odd) for even, odd in sums[: 1 if tangent is None else 2]]
    by_scale, pulled = (even + odd for even, odd in sums)
    return by_scale, None if tangent is None else pulled, _SAFETY * max(changes) ** 2 + tolerance / 10


def _relative(change: Any, size: Any) -> float:
    space = array_namespace(size)
    largest = float(space.max(space.abs(size)))
    return float(space.max(space.abs(change))) / largest if largest > 0 else 0.0


def _integrands(s: float, factor: JointFactor, tangent: _Tangent | None, phi: Homogeneous) -> tuple[Any, Any]:
    """M, and what pulls T back, without weights."""
    space = array_namespace(factor.loadings)
    shrink = 1 / (1 + 2 * s * factor.strengths)
    stacked = factor.stacked
    a = space.sqrt(_variances(factor, shrink))
    b = inverse(a)
    pair = pairs(phi, (stacked * factor.array(shrink)) @ stacked.T, b, b)
    m = pair.covariance * pair.slopes + pair.sines * (a[:, None] * a)
    if tangent is None:
        return m, None
    light = (factor.strengths * shrink)[: factor.own_rank]
    along = stacked[:, : factor.own_rank] * factor.array(light / np.sqrt(factor.strengths[: factor.own_rank]))
    taken = along @ (s * tangent.rows - s * s / 2 * (tangent.inner @ along.T))
    d = -2 * space.linalg.diagonal(taken)
    trace = s * s / 2 * float(host(space.linalg.diagonal(tangent.inner)) @ light)
    leaning = (d * b)[:, None] * a
    pulled = pair.slopes * (tangent.whole - taken - taken.T) + trace * m
    return m, pulled + pair.sines / 2 * (leaning + leaning.T)


def _mean(own: CentredCovariance, factor: JointFactor, phi: Homogeneous) -> Any:
    """E[h]/γ = c₂√B·√(2/π) (1/Γ(½)) ∫ ds s^{−1/2} w a."""
    space = array_namespace(factor.loadings)
    rule = trapezoid(own, [Density(own, power=0.5)], 13.0)
    total = 0.0
    for s, weight in zip(rule.nodes, rule.weights / np.sqrt(rule.nodes), strict=True):
        total = total + float(weight) * space.sqrt(_variances(factor, 1 / (1 + 2 * s * factor.strengths)))
    return phi.c2 * math.sqrt(2 * own.size) / math.pi * total
