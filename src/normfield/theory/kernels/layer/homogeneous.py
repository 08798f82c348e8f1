r"""Exact moments of a layer with batch norm whose activation is φ(x) = c₁x + c₂|x|, β = 0.

The normaliser R = ‖y‖² + Bε is integrated out by R^{−k} = (1/Γ(k)) ∫ s^{k−1} e^{−sR} ds. Under the weight e^{−sr²} the
centred y is Gaussian with Σ_s = Σ(I + 2sΣ)⁻¹. With T = GΘG, F = I − sΣ_s, E = FTF, τ = tr(TΣ_s), a_i = √(Σ_s)_ii,
ρ the correlations of Σ_s, sinθ = √(1 − ρ²), κ = 2c₂²/π, w(s) = e^{−sBε} det(I + 2sΣ)^{−1/2}:

    P = c₁² + κ asin ρ                      M = Σ_s∘P + κ aaᵀ∘sinθ
    E[h hᵀ]  = γ²B ∫ ds w M
    E[JΘJᵀ] = γ²B ∫ ds w [P∘E + (s²τ/2) M + ½κ sinθ∘(d_i a_j/a_i + d_j a_i/a_j)],   d = diag(E) − diag(T).

This is P∘T − s(T₂ + T₂ᵀ) + (s²/2)T₃ of Stein's lemma, since T − s(TΣ_s + Σ_sT) + s²Σ_sTΣ_s = FTF. Its adjoint is

    E[JᵀΠJ] = γ²B G ∫ ds w [F(P∘Π + diag m)F − diag m + (s²/2)⟨M, Π⟩ Σ_s] G,   m_i = Σ_j κ sinθ_ij Π_ij a_j/a_i.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.theory.kernels.layer.centred import CentredCovariance, centre, centred_covariance, host
from normfield.theory.kernels.layer.diverging import divergence
from normfield.theory.kernels.layer.homogeneous_pairs import Homogeneous, pair_slopes
from normfield.theory.kernels.layer.moments import BatchNormalisation, LayerMoments
from normfield.theory.kernels.layer.nodes import Density, Rule, gauss_rules, trapezoid
from normfield.theory.kernels.layer.normaliser_integrals import (
    Tangent,
    adjoint_integral,
    both_integrals,
    diagonal_tangent,
    rows_of,
    second_integral,
    tangent_of,
)

_ORDERS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40)
_SAFETY = 10.0
_REFERENCE_DIGITS = 14.0
_COMPARED = 24  # samples whose every pair is integrated by the finer rule too


def homogeneous_moments(
    nngp: Any,
    ntk: Any | None,
    norm: BatchNormalisation,
    c1: float,
    c2: float,
    tolerance: float = 1e-8,
    resting: float | None = None,
) -> LayerMoments:
    """Exact moments of φ(γu), φ(x) = c₁x + c₂|x|, behind a batch norm: E[h hᵀ], E[JΘJᵀ] and what γ and β add.

    Parameters
    ----------
    nngp : array
        K (B, B), float64.
    ntk : array, optional
        Θ (B, B); without it ``pulled`` is None and the rest costs half.
    norm
        γ and ε of the batch norm; β must be 0.
    c1, c2
        φ(x) = c₁x + c₂|x|.
    tolerance
        Of the largest entries, relative to the mean of the diagonal; ``error`` is the estimate of what was reached.
    resting
        φ′(0), taken by a sample that is the mean of its batch; c₁ if not given.

    Returns
    -------
    LayerMoments
        With status "diverges: …" and an infinite ``pulled`` where ε = 0 and rank(GKG) ≤ 2.

    Raises
    ------
    InvalidInput
        If β is not 0, K or Θ is no finite float64 array (B, B), or samples do not differ and ε = 0.
    """
    _check(norm, tolerance, nngp, ntk)
    phi = Homogeneous(c1, c2, resting)
    centred = centred_covariance(nngp, norm.eps)
    status = "" if ntk is None else divergence(centred)
    tangent = None if ntk is None or status else tangent_of(centred, ntk)
    rule = _chosen(centred, phi, tolerance, tangent is not None)
    by_scale, pulled = _integrals(centred, centred.vectors, tangent, phi, rule)
    error = _error(centred, tangent, phi, rule, tolerance)
    del tangent
    by_scale *= centred.size
    if pulled is not None:
        pulled *= norm.gamma**2 * centred.size / centred.scale
    elif status:
        pulled = by_scale * 0.0 + math.inf
    return LayerMoments(
        second=norm.gamma**2 * by_scale,
        pulled=pulled,
        by_scale=by_scale,
        by_shift=pair_slopes(phi, centre(nngp), centred.variances * centred.scale),
        mean=abs(norm.gamma) * _mean(centred, phi),
        error=error,
        status=status,
    )


def homogeneous_pull_back(
    nngp: Any,
    pi: Any,
    norm: BatchNormalisation,
    c1: float,
    c2: float,
    tolerance: float = 1e-8,
    resting: float | None = None,
) -> tuple[Any, float]:
    """E[JᵀΠJ], the adjoint of Θ ↦ E[JΘJᵀ], with its estimated error.

    Parameters
    ----------
    nngp : array
        K (B, B), float64.
    pi : array
        Π (B, B), symmetric.
    norm, c1, c2, tolerance, resting
        As in `homogeneous_moments`, whose nodes it takes, so that ⟨Π, E[JΘJᵀ]⟩ = ⟨E[JᵀΠJ], Θ⟩ to round-off.

    Returns
    -------
    array, float
        (B, B), and the error of E[JΠJᵀ] on the same nodes; both infinite where ε = 0 and rank(GKG) ≤ 2.

    Raises
    ------
    InvalidInput
        As `homogeneous_moments`.
    """
    _check(norm, tolerance, nngp, pi)
    phi = Homogeneous(c1, c2, resting)
    centred = centred_covariance(nngp, norm.eps)
    if divergence(centred):
        return nngp * 0.0 + math.inf, math.inf
    rule = _chosen(centred, phi, tolerance, True)
    back = centre(adjoint_integral(centred, (pi + pi.T) / 2, phi, rule))
    back *= norm.gamma**2 * centred.size / centred.scale
    return (back + back.T) / 2, _error(centred, tangent_of(centred, pi), phi, rule, tolerance)


def _check(norm: BatchNormalisation, tolerance: float, *matrices: Any) -> None:
    if norm.beta != 0:
        raise InvalidInput(
            expected="beta = 0 for the exact integrals",
            got=f"beta = {norm.beta:g}",
            instead='take method="concentrated" or "monte_carlo"',
        )
    if not 0 < tolerance < 1:
        raise InvalidInput(expected="a relative tolerance between 0 and 1", got=f"{tolerance:g}")
    for matrix in matrices:
        if matrix is not None:
            _check_square(matrix, matrices[0].shape)


def _check_square(matrix: Any, shape: tuple[int, ...]) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape != shape:
        raise InvalidInput(
            expected="kernels of one shape (B, B)", got=f"{tuple(matrix.shape)}, {tuple(shape)}"
        )
    space = array_namespace(matrix)
    if matrix.dtype != space.float64:
        raise InvalidInput(expected="float64 kernels", got=f"{matrix.dtype}", instead="convert them first")
    if not bool(space.all(space.isfinite(matrix))):
        raise InvalidInput(
            expected="finite kernels",
            got="NaN or infinity",
            instead="remove such samples, or scale the inputs",
        )


def _integrals(
    centred: CentredCovariance, rows: Any, tangent: Tangent | None, phi: Homogeneous, rule: Rule
) -> tuple[Any, Any]:
    if tangent is None:
        return second_integral(centred, rows, phi, rule), None
    return both_integrals(centred, rows, tangent, phi, rule)


def _densities(centred: CentredCovariance, with_tangent: bool) -> list[Density]:
    """How the integrands fall off: M is smaller than the rest by Σ_s."""
    densities = [Density(centred, falls=1.0)]
    return [*densities, Density(centred)] if with_tangent else densities


def _chosen(centred: CentredCovariance, phi: Homogeneous, tolerance: float, with_tangent: bool) -> Rule:
    """The least nodes that integrate the pairs of some samples, with T = I and T = Σ, to a tenth of the tolerance."""
    rows, _ = _sample(centred)
    densities = _densities(centred, with_tangent)
    fine = _fine(centred, densities, tolerance)
    probes = _probes(centred, rows) if with_tangent else [None]
    exact = [_integrals(centred, rows, probe, phi, fine) for probe in probes]
    rules = gauss_rules(centred, densities)
    for order in _ORDERS:
        rule = rules.rule(order)
        found = (_integrals(centred, rows, probe, phi, rule) for probe in probes)
        if all(_difference(x, y) < tolerance / _SAFETY for x, y in zip(found, exact, strict=True)):
            return rule
    return trapezoid(centred, densities, 1 - math.log10(tolerance))


def _fine(centred: CentredCovariance, densities: list[Density], tolerance: float) -> Rule:
    """A rule to compare with: a hundred times as accurate as asked for."""
    return trapezoid(centred, densities, min(_REFERENCE_DIGITS, 2 - math.log10(tolerance)))


def _sample(centred: CentredCovariance) -> tuple[Any, np.ndarray]:
    """Rows of V for some samples, from the least variance to the largest, and which."""
    order = np.argsort(host(centred.variances), kind="stable")
    places = np.linspace(0, order.size - 1, min(_COMPARED, order.size)).round().astype(int)
    return rows_of(centred.vectors, order[places]), order[places]


def _probes(centred: CentredCovariance, rows: Any) -> list[Tangent | None]:
    """T = I and T = Σ."""
    spectra = (np.ones(centred.size), centred.values)
    return [diagonal_tangent(spectrum, centred.array(spectrum), rows) for spectrum in spectra]


def _error(
    centred: CentredCovariance, tangent: Tangent | None, phi: Homogeneous, rule: Rule, tolerance: float
) -> float:
    """Three times the largest difference to a much finer rule on the pairs of some samples; once, if those are all."""
    rows, chosen = _sample(centred)
    fine = _fine(centred, _densities(centred, tangent is not None), tolerance)
    tangent = None if tangent is None else tangent.at(chosen)
    found = _integrals(centred, rows, tangent, phi, rule)
    difference = _difference(found, _integrals(centred, rows, tangent, phi, fine))
    return difference if chosen.size == centred.size else 3 * difference


def _difference(found: tuple[Any, Any], exact: tuple[Any, Any]) -> float:
    """Of the largest entries, relative to the mean of the diagonal."""
    return max(_relative(x, y) for x, y in zip(found, exact, strict=True) if x is not None)


def _relative(found: Any, exact: Any) -> float:
    space = array_namespace(found)
    size = float(space.mean(space.abs(space.linalg.diagonal(exact))))
    largest = float(space.max(space.abs(found - exact)))
    return largest / size if size > 0 else largest


def _mean(centred: CentredCovariance, phi: Homogeneous) -> Any:
    """E[φ(u)] = c₂√B·√(2/π) (1/Γ(½)) ∫ ds s^{−1/2} w a."""
    space = array_namespace(centred.vectors)
    rule = trapezoid(centred, [Density(centred, power=0.5, falls=0.5)], _REFERENCE_DIGITS)
    light = centred.values[:, None] / (1 + 2 * rule.nodes * centred.values[:, None])
    deviations = space.sqrt((centred.vectors * centred.vectors) @ centred.array(light))
    integral = deviations @ centred.array(rule.weights / np.sqrt(rule.nodes))
    return phi.c2 * math.sqrt(2 * centred.size) / math.pi * integral
