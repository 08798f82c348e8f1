r"""Exact moments of a layer with batch norm whose activation is φ(x) = c₁x + c₂|x|, β = 0.

The normaliser R = ‖y‖² + Bε is integrated out by R^{−k} = (1/Γ(k)) ∫ s^{k−1} e^{−sR} ds. Under the weight e^{−sr²} the
centred y is Gaussian with Σ_s = Σ(I + 2sΣ)⁻¹. With T = GΘG, F = I − sΣ_s, E = FTF, τ = tr(TΣ_s), a_i = √(Σ_s)_ii,
ρ the correlations of Σ_s, sinθ = √(1 − ρ²), κ = 2c₂²/π, w(s) = e^{−sBε} det(I + 2sΣ)^{−1/2}:

    P = c₁² + κ asin ρ                      M = Σ_s∘P + κ aaᵀ∘sinθ
    E[h hᵀ]  = γ²B ∫ ds w M
    E[JΘJᵀ] = γ²B ∫ ds w [P∘E + (s²τ/2) M + ½κ sinθ∘(d_i a_j/a_i + d_j a_i/a_j)],   d = diag(E) − diag(T).

This is theory's P∘T − s(T₂ + T₂ᵀ) + (s²/2)T₃, since T − s(TΣ_s + Σ_sT) + s²Σ_sTΣ_s = FTF. Its adjoint is

    E[JᵀΠJ] = γ²B G ∫ ds w [F(P∘Π + diag m)F − diag m + (s²/2)⟨M, Π⟩ Σ_s] G,   m_i = Σ_j κ sinθ_ij Π_ij a_j/a_i.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.theory.kernels.centred import CentredCovariance, centre, centred_covariance, host
from normfield.theory.kernels.diverging import divergence
from normfield.theory.kernels.moments import BatchNormalisation, LayerMoments
from normfield.theory.kernels.nodes import Density, Rule, trapezoid
from normfield.theory.kernels.pairs import Homogeneous, inverse, pairs

_ROWS = 128  # a block of this many rows fits a processor's cache
_REFERENCE_DIGITS = 13.0
_COMPARED = 24


@dataclass(frozen=True)
class _Tangent:
    """T = GΘG in the eigenbasis of Σ, VᵀTV, and its own diagonal."""

    rotated: Any
    diagonal: Any
    spectrum: np.ndarray


def homogeneous_moments(
    nngp: Any, ntk: Any | None, norm: BatchNormalisation, c1: float, c2: float, tolerance: float = 1e-8
) -> LayerMoments:
    """Moments of a layer.

    Parameters
    ----------
    nngp : array
        K (B, B).
    ntk : array, optional
        Θ (B, B).
    norm
        γ and ε of the batch norm; β must be 0.
    c1, c2
        φ(x) = c₁x + c₂|x|.
    tolerance
        Relative error.

    Raises
    ------
    InvalidInput
        If β is not 0, or samples do not differ and ε = 0.
    """
    phi = Homogeneous(c1, c2)
    _check(norm)
    centred = centred_covariance(nngp, norm.eps)
    status = "" if ntk is None else divergence(centred)
    tangent = None if ntk is None or status else _tangent(centred, ntk)
    densities = [Density(centred, falls=1.0)] + ([] if tangent is None else [Density(centred)])
    rule = trapezoid(centred, densities, 1 - math.log10(tolerance))
    second, pulled = _integrals(centred, centred.vectors, tangent, phi, rule)
    error = _error(centred, tangent, phi, rule, densities)
    second *= centred.size
    if pulled is not None:
        pulled *= norm.gamma**2 * centred.size / centred.scale
    elif status:
        pulled = second * 0 + math.inf
    return LayerMoments(
        norm.gamma**2 * second,
        pulled,
        second,
        _signs(centred, phi, centre(nngp)),
        _mean(centred, phi, norm),
        error,
        status,
    )


def homogeneous_pull_back(
    nngp: Any, pi: Any, norm: BatchNormalisation, c1: float, c2: float, tolerance: float = 1e-8
) -> tuple[Any, float]:
    """E[JᵀΠJ] (B, B), the adjoint of Θ ↦ E[JΘJᵀ], and its estimated error.

    Parameters
    ----------
    nngp : array
        K (B, B).
    pi : array
        Π (B, B), symmetric.
    norm
        γ and ε of the batch norm; β must be 0.
    c1, c2
        φ(x) = c₁x + c₂|x|.
    tolerance
        Relative error.

    Raises
    ------
    InvalidInput
        If β is not 0, or samples do not differ and ε = 0.
    """
    phi = Homogeneous(c1, c2)
    _check(norm)
    centred = centred_covariance(nngp, norm.eps)
    if divergence(centred):
        return nngp * 0 + math.inf, math.inf
    densities = [Density(centred, falls=1.0), Density(centred)]
    rule = trapezoid(centred, densities, 1 - math.log10(tolerance))
    rotated = _adjoint(centred, (pi + pi.T) / 2, phi, rule)
    back = centre(centred.vectors @ rotated @ centred.vectors.T)
    back *= norm.gamma**2 * centred.size / centred.scale
    return (back + back.T) / 2, _error(centred, _tangent(centred, pi), phi, rule, densities)


def _adjoint(centred: CentredCovariance, pi: Any, phi: Homogeneous, rule: Rule) -> Any:
    """Vᵀ ∫ ds w [F(P∘Π + diag m)F − diag m + (s²/2)⟨M, Π⟩ Σ_s] V."""
    space = array_namespace(pi)
    vectors, n = centred.vectors, centred.size
    total = space.zeros_like(pi)
    taken = space.zeros_like(centred.variances)
    traces = 0.0 * centred.values
    for s, weight in zip(rule.nodes.tolist(), rule.weights.tolist(), strict=True):
        shrunk = centred.values / (1 + 2 * s * centred.values)
        light = centred.array(shrunk)
        a = space.sqrt(space.vecdot(vectors * light, vectors))
        b = inverse(a)
        f = centred.array(1 - s * shrunk)
        inner = space.zeros_like(pi)
        trace = 0.0
        for i in range(0, n, _ROWS):
            own = slice(i, min(i + _ROWS, n))
            p = pairs(phi, (vectors[own] * light) @ vectors.T, b[own], b)
            m = p.covariance * p.slopes + p.sines * (a[own, None] * a)
            trace += float(space.sum(m * pi[own]))
            inner[own] = p.slopes * pi[own]
            ends = b[own] * ((p.sines * pi[own]) @ a)
            taken[own] += weight * ends
            _add_to_diagonal(inner[own, own], ends)
        total += weight * ((vectors.T @ inner @ vectors) * f[:, None] * f)
        traces = traces + weight * s * s / 2 * trace * shrunk
    total -= (vectors.T * taken) @ vectors
    _add_to_diagonal(total, centred.array(traces))
    return total


def _add_to_diagonal(matrix: Any, values: Any) -> None:
    places = array_namespace(values).arange(values.shape[0], device=values.device)
    matrix[places, places] += values


def _check(norm: BatchNormalisation) -> None:
    if norm.beta != 0:
        raise InvalidInput(
            expected="beta = 0 for the exact kernel", got=f"{norm.beta}", instead="use concentrated"
        )


def _tangent(centred: CentredCovariance, ntk: Any) -> _Tangent:
    space = array_namespace(centred.vectors)
    tangent = centre(ntk)
    rotated = centred.vectors.T @ tangent @ centred.vectors
    return _Tangent(rotated, space.linalg.diagonal(tangent), host(space.linalg.diagonal(rotated)))


def _integrals(
    centred: CentredCovariance, rows: Any, tangent: _Tangent | None, phi: Homogeneous, rule: Rule
) -> Any:
    """∫ ds w M and, with a tangent kernel, ∫ ds w [P∘E + …], for the samples whose rows of V are given."""
    space = array_namespace(rows)
    n = rows.shape[0]
    second = space.zeros((n, n), dtype=rows.dtype, device=rows.device)
    pulled = None if tangent is None else space.zeros_like(second)
    for s, weight in zip(rule.nodes.tolist(), rule.weights.tolist(), strict=True):
        shrunk = centred.values / (1 + 2 * s * centred.values)
        light = centred.array(shrunk)
        a = space.sqrt(space.vecdot(rows * light, rows))
        b = inverse(a)
        if tangent is not None:
            f = centred.array(1 - s * shrunk)
            left = ((rows * f) @ tangent.rotated) * f
            d = space.vecdot(left, rows) - tangent.diagonal
            trace = s * s / 2 * float(tangent.spectrum @ shrunk)
        for i in range(0, n, _ROWS):
            own = slice(i, min(i + _ROWS, n))
            p = pairs(phi, (rows[own] * light) @ rows[i:].T, b[own], b[i:])
            m = p.covariance * p.slopes + p.sines * (a[own, None] * a[i:])
            second[own, i:] += weight * m
            if tangent is not None:
                e = p.slopes * (left[own] @ rows[i:].T)
                e += trace * m
                e += 0.5 * p.sines * ((d[own] * b[own])[:, None] * a[i:] + a[own, None] * (d[i:] * b[i:]))
                pulled[own, i:] += weight * e
    _mirror(second)
    if pulled is not None:
        _mirror(pulled)
    return second, pulled


def _mirror(matrix: Any) -> None:
    """The lower triangle from the upper one."""
    n = matrix.shape[0]
    for i in range(0, n, _ROWS):
        end = min(i + _ROWS, n)
        block = matrix[i:end, i:end]
        matrix[i:end, i:end] = (block + block.T) / 2
        matrix[end:, i:end] = matrix[i:end, end:].T


def _compared(centred: CentredCovariance) -> np.ndarray:
    """Samples on which the rule is compared with a finer one, from the least variance to the largest."""
    order = np.argsort(host(centred.variances), kind="stable")
    return order[np.unique(np.linspace(0, order.size - 1, min(_COMPARED, order.size)).round().astype(int))]


def _error(
    centred: CentredCovariance,
    tangent: _Tangent | None,
    phi: Homogeneous,
    rule: Rule,
    densities: list[Density],
) -> float:
    """Largest difference to a finer rule on some samples, relative to the mean of the diagonal."""
    chosen = _compared(centred)
    rows = _take(centred.vectors, chosen)
    if tangent is not None:
        tangent = _Tangent(tangent.rotated, _take(tangent.diagonal, chosen), tangent.spectrum)
    fine = trapezoid(centred, densities, _REFERENCE_DIGITS)
    found = _integrals(centred, rows, tangent, phi, rule)
    exact = _integrals(centred, rows, tangent, phi, fine)
    return max(_difference(x, y) for x, y in zip(found, exact, strict=True) if x is not None)


def _take(x: Any, chosen: np.ndarray) -> Any:
    space = array_namespace(x)
    return space.take(x, space.asarray(chosen, device=x.device), axis=0)


def _difference(found: Any, exact: Any) -> float:
    space = array_namespace(found)
    size = float(space.max(space.abs(space.linalg.diagonal(exact))))
    largest = float(space.max(space.abs(found - exact)))
    return largest / size if size > 0 else largest


def _signs(centred: CentredCovariance, phi: Homogeneous, sigma: Any) -> Any:
    """E[φ′φ′ᵀ] at Σ: signs do not feel the normaliser."""
    space = array_namespace(sigma)
    b = inverse(space.sqrt(centred.variances * centred.scale))
    p = pairs(phi, sigma, b, b)
    return (p.slopes + p.slopes.T) / 2


def _mean(centred: CentredCovariance, phi: Homogeneous, norm: BatchNormalisation) -> Any:
    """E[h] = c₂γ√B·√(2/π) (1/Γ(½)) ∫ ds s^{−1/2} w a."""
    space = array_namespace(centred.vectors)
    rule = trapezoid(centred, [Density(centred, power=0.5, falls=0.5)], _REFERENCE_DIGITS)
    shrunk = centred.values[:, None] / (1 + 2 * rule.nodes * centred.values[:, None])
    deviations = space.sqrt((centred.vectors * centred.vectors) @ centred.array(shrunk))
    integral = deviations @ centred.array(rule.weights / np.sqrt(rule.nodes))
    return phi.c2 * norm.gamma * math.sqrt(2 * centred.size) / math.pi * integral
