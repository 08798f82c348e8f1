r"""Pairs of nearly coinciding (or opposite) arguments, where a series in the correlation is slow: steep or bent φ.

With ρ = σcosθ, σ = ±1, and an independent z, g_j = σ(cosθ g_i + sinθ z). Expectations are integrals over z inside
integrals over g_i, on panels around the bend of φ in both; integration by parts in z and g_i gives derivatives,

    E f_iψ_j′ = σE f_iψ_jz/sinθ,   E f_if_j″ = E f_if_j(z² − 1)/sin²θ,
    E f_i′ψ_j = E g_if_iψ_j − ρE f_iψ_j′,   E f_i′f_j′ = σE g_if_if_jz/sinθ − ρE f_if_j″.

They are smooth functions of θ, log s_i and log s_j. A table on Chebyshev points of the three serves every pair at once;
the same integrals at some of the pairs tell its error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from normfield.network import ActivationFunction
from normfield.theory import ops
from normfield.theory.gaussian import derivative
from normfield.theory.kernels.pair_laws.panels import normal_rule
from normfield.theory.quadrature import rule

#: What a table holds for each pair, in the order of its last axis.
FIELDS = ("product", "slopes", "argued", "bent_left", "bent_right", "curved", "both")
_ANGLES = 20
_SCALES = 12
_COMPARED = 8
_MARGIN = 4.0  # the compared pairs are not the worst: measured up to 4 times where φ bends away from 0
_PAIRS = 20_000  # pairs at once


@dataclass(frozen=True)
class Near:
    """Expectations (pairs, FIELDS) of the pairs (rows, columns), and their largest error relative to the diagonal."""

    rows: np.ndarray
    columns: np.ndarray
    found: np.ndarray
    value_error: float
    derivative_error: float


@dataclass(frozen=True)
class _Family:
    """φ around β on one side, σ."""

    phi: ActivationFunction
    shift: float
    sign: float


def near_pairs(
    phi: ActivationFunction,
    scale: np.ndarray,
    shift: float,
    correlation: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
) -> Near:
    """Expectations of the pairs (rows, columns), whose correlations are near 1 or −1."""
    rows, columns = pairs
    found = np.empty((rows.size, len(FIELDS)))
    errors = np.zeros(len(FIELDS))
    for sign in (1.0, -1.0):
        own = np.flatnonzero(np.sign(correlation[rows, columns]) == sign)
        if own.size == 0:
            continue
        rho = correlation[rows[own], columns[own]]
        angles = np.arctan2(np.sqrt((1 - rho) * (1 + rho)), np.abs(rho))
        family = _Family(phi, shift, sign)
        left, right = scale[rows[own]], scale[columns[own]]
        found[own] = _tabulated(family, left, right, angles)
        errors = np.maximum(errors, _missed(family, left, right, angles, found[own]))
    return Near(rows, columns, found, float(errors[:3].max()), float(errors[3:].max()))


def _tabulated(family: _Family, left: np.ndarray, right: np.ndarray, angles: np.ndarray) -> np.ndarray:
    everything = np.concatenate([left, right])
    side = np.sign(everything[0])
    low, high = np.log(np.abs(everything).min()), np.log(np.abs(everything).max())
    levels = _chebyshev(low, high, 1 if high - low < 1e-12 else _SCALES)
    turns = _chebyshev(0.0, float(angles.max()), _ANGLES)
    scales = side * np.exp(levels)
    table = np.stack([_integrals(family, scales, float(turn)) for turn in turns])
    parts = np.array_split(np.arange(angles.size), math.ceil(angles.size / _PAIRS))
    return np.concatenate(
        [
            np.einsum(
                "pa,pb,pt,tabf->pf",
                _lagrange(levels, np.log(np.abs(left[part]))),
                _lagrange(levels, np.log(np.abs(right[part]))),
                _lagrange(turns, angles[part]),
                table,
                optimize=["einsum_path", (2, 3), (0, 2), (0, 1)],
            )
            for part in parts
        ]
    )


def _missed(
    family: _Family, left: np.ndarray, right: np.ndarray, angles: np.ndarray, found: np.ndarray
) -> np.ndarray:
    """Difference to the integrals themselves at some pairs from the nearest on, relative to the largest of a field."""
    some = np.argsort(angles, kind="stable")[
        np.unique(np.linspace(0, angles.size - 1, _COMPARED).astype(int))
    ]
    some = some[np.sin(angles[some]) > 1e-3]
    if some.size == 0:
        return np.zeros(len(FIELDS))
    exact = np.stack(
        [_integrals(family, np.array([left[k], right[k]]), float(angles[k]))[0, 1] for k in some]
    )
    missed = np.abs(found[some] - exact).max(axis=0)
    return _MARGIN * missed / np.maximum(np.abs(found).max(axis=0), 1e-300)


def _integrals(family: _Family, scales: np.ndarray, angle: float) -> np.ndarray:
    """Expectations (left, right, FIELDS) for every two scales at one angle."""
    cosine, sine, sign = math.cos(angle), math.sin(angle), family.sign
    g, w = normal_rule(-family.shift / scales[None, :], 64)
    value, slope = _both(family, scales[:, None] * g)
    # Conditional expectations of φ, ψ, f, ψz, fz, f(z² − 1) of the right one, at every g of the left one.
    given = np.stack([_conditional(family, s, g[0], cosine, sine) for s in scales])
    f = g * slope
    product, slopes, argued, bent, leaning, crossed, curved = (
        np.einsum("ak,bk,k->ab", left, given[:, k], w[0])
        for left, k in ((value, 0), (slope, 1), (f, 2), (f, 3), (g * f, 1), (g * f, 4), (f, 5))
    )
    right = sign * bent / sine
    curved = curved / sine**2
    left = leaning - sign * cosine * right
    both = sign * crossed / sine - sign * cosine * curved
    return np.stack([product, slopes, argued, left, right, curved.T, both], axis=-1)


def _both(family: _Family, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return family.phi.function(ops, family.shift + x), derivative(family.phi)(family.shift + x)


def _conditional(family: _Family, scale: float, g: np.ndarray, cosine: float, sine: float) -> np.ndarray:
    centre = -(family.sign * family.shift / scale + cosine * g) / sine
    z, w = rule(centre)
    there = family.sign * (cosine * g[:, None] + sine * z)
    value, slope = _both(family, scale * there)
    f = there * slope
    return np.stack([np.sum(w * x, axis=1) for x in (value, slope, f, slope * z, f * z, f * (z * z - 1))])


def _chebyshev(low: float, high: float, count: int) -> np.ndarray:
    points = -np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return (low + high) / 2 + (high - low) / 2 * points


def _lagrange(nodes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values at x of the polynomials that are 1 at one node and 0 at the others, shape (x, nodes)."""
    basis = np.ones((x.size, nodes.size))
    for k, node in enumerate(nodes):
        for other in np.delete(nodes, k):
            basis[:, k] *= (x - other) / (node - other)
    return basis
