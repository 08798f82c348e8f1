r"""The integrals over s behind a homogeneous layer's moments, node by node and in blocks of rows.

With T = GΘG, F = I − sΣ_s, E = FTF, τ = tr(TΣ_s), a_i = √(Σ_s)_ii, P = E_s[φ′φ′ᵀ], M = E_s[φφᵀ] and κ sinθ the
arc-cosine expectations at Σ_s:

    moments:   ∫ ds w M    and    ∫ ds w [P∘E + (s²τ/2) M + ½κ sinθ∘(d_i a_j/a_i + d_j a_i/a_j)],  d = diag(E) − diag(T)
    adjoint:   ∫ ds w [F(P∘Π + diag m)F − diag m + (s²/2)⟨M, Π⟩ Σ_s],  m_i = Σ_j κ sinθ_ij Π_ij a_j/a_i

In the eigenbasis V of Σ, F is f = (1 + sλ)/(1 + 2sλ) and Σ_s is λ/(1 + 2sλ).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.theory.kernels.layer.centred import CentredCovariance, centre, host
from normfield.theory.kernels.layer.homogeneous_pairs import Homogeneous, Pairs, inverse, pairs
from normfield.theory.kernels.layer.nodes import Rule

_ROWS = 128  # a block of this many rows fits a processor's cache


@dataclass(frozen=True)
class Tangent:
    """T = GΘG.

    Attributes
    ----------
    rotated : array
        VᵀTV (B, B), or its diagonal (B,) where it is diagonal.
    spectrum : numpy.ndarray
        Its diagonal (B,), on the host.
    diagonal : array
        The diagonal of T at the samples asked for.
    """

    rotated: Any
    spectrum: np.ndarray
    diagonal: Any

    def times(self, left: Any) -> Any:
        """left·VᵀTV."""
        return left * self.rotated if self.rotated.ndim == 1 else left @ self.rotated

    def at(self, chosen: np.ndarray) -> Tangent:
        """For some of the samples."""
        return Tangent(self.rotated, self.spectrum, rows_of(self.diagonal, chosen))


@dataclass(frozen=True)
class _Node:
    """What a node s needs of the eigenvalues: λ/(1 + 2sλ) and f, on the host and where the vectors are."""

    s: float
    weight: float
    spectrum: np.ndarray
    light: Any
    damped: Any
    deviations: Any
    inverses: Any


def tangent_of(centred: CentredCovariance, ntk: Any) -> Tangent:
    """GΘG in the eigenbasis of Σ."""
    space = array_namespace(centred.vectors)
    tangent = centre(ntk)
    rotated = centred.vectors.T @ tangent @ centred.vectors
    return Tangent(rotated, host(space.linalg.diagonal(rotated)), 1.0 * space.linalg.diagonal(tangent))


def diagonal_tangent(spectrum: np.ndarray, rotated: Any, rows: Any) -> Tangent:
    """T = V diag(spectrum) Vᵀ, at the samples whose rows of V are given."""
    return Tangent(rotated, spectrum, (rows * rows) @ rotated)


def rows_of(x: Any, chosen: np.ndarray) -> Any:
    """Some rows of an array."""
    space = array_namespace(x)
    return space.take(x, space.asarray(chosen, device=x.device), axis=0)


def second_integral(centred: CentredCovariance, rows: Any, phi: Homogeneous, rule: Rule) -> Any:
    """∫ ds w M between the samples whose ``rows`` of V are given."""
    second = _square(rows)
    for node in _nodes(centred, rows, rule):
        for own in _blocks(rows):
            block = _pairs(phi, node, rows, own)
            second[own, own.start :] += node.weight * _moments(node, block, own)
    _mirror(second)
    return second


def both_integrals(
    centred: CentredCovariance, rows: Any, tangent: Tangent, phi: Homogeneous, rule: Rule
) -> tuple[Any, Any]:
    """∫ ds w M and ∫ ds w [P∘E + …] between the samples whose ``rows`` of V are given."""
    space = array_namespace(rows)
    second, pulled = _square(rows), _square(rows)
    for node in _nodes(centred, rows, rule):
        left = tangent.times(rows * node.damped)
        left *= node.damped
        lost = (space.vecdot(left, rows) - tangent.diagonal) * node.inverses / 2
        share = node.s**2 / 2 * float(tangent.spectrum @ node.spectrum)
        for own in _blocks(rows):
            block = _pairs(phi, node, rows, own)
            moments = _moments(node, block, own)
            second[own, own.start :] += node.weight * moments
            moments *= share
            moments += block.slopes * (left[own] @ rows[own.start :].T)
            moments += block.sines * _symmetric(lost, node.deviations, own)
            pulled[own, own.start :] += node.weight * moments
    _mirror(second)
    _mirror(pulled)
    return second, pulled


def adjoint_integral(centred: CentredCovariance, pi: Any, phi: Homogeneous, rule: Rule) -> Any:
    """∫ ds w [F(P∘Π + diag m)F − diag m + (s²/2)⟨M, Π⟩ Σ_s] for a symmetric Π."""
    space = array_namespace(pi)
    vectors = centred.vectors
    total, spent = _square(vectors), space.zeros_like(centred.variances)
    added = np.zeros(centred.size)
    for node in _nodes(centred, vectors, rule):
        inner, ends, product = _weighed(node, vectors, pi, phi)
        _add_to_diagonal(inner, ends)
        inner = (vectors.T @ inner) @ vectors
        inner *= node.weight * node.damped[:, None]
        inner *= node.damped
        total += inner
        spent += node.weight * ends
        added += node.weight * node.s**2 / 2 * product * node.spectrum
    _add_to_diagonal(total, centred.array(added))
    total = (vectors @ total) @ vectors.T
    _add_to_diagonal(total, -spent)
    return total


def _weighed(node: _Node, vectors: Any, pi: Any, phi: Homogeneous) -> tuple[Any, Any, float]:
    """P∘Π, m and ⟨M, Π⟩ at a node."""
    space = array_namespace(pi)
    inner, ends, product = _square(vectors), space.zeros_like(node.inverses), 0.0
    for own in _blocks(vectors):
        after = pi[own, own.start :]
        block = _pairs(phi, node, vectors, own)
        moments = _moments(node, block, own) * after
        product += 2 * float(space.sum(moments)) - float(space.sum(moments[:, : own.stop - own.start]))
        inner[own, own.start :] = block.slopes * after
        _gather(ends, block.sines * after, node.deviations, own)
    _mirror(inner)
    return inner, ends * node.inverses, product


def _gather(ends: Any, sines: Any, deviations: Any, own: slice) -> None:
    """Adds Σ_j (κ sinθ Π)_ij a_j of a symmetric matrix of which a block right of the diagonal is given."""
    ends[own] += sines @ deviations[own.start :]
    ends[own.stop :] += sines[:, own.stop - own.start :].T @ deviations[own]


def _nodes(centred: CentredCovariance, rows: Any, rule: Rule) -> Iterator[_Node]:
    """Every node, with √(Σ_s)_ii by one product for all of them."""
    space = array_namespace(rows)
    light = centred.values / (1 + 2 * rule.nodes[:, None] * centred.values)
    damped = 1 - rule.nodes[:, None] * light
    squares = rows * rows
    still = squares @ centred.array(centred.values) <= centred.roundoff
    deviations = space.sqrt(centred.array(light) @ squares.T)
    deviations = space.where(still, space.zeros_like(deviations), deviations)
    del squares
    for k, (s, weight) in enumerate(zip(rule.nodes.tolist(), rule.weights.tolist(), strict=True)):
        lights = centred.array(light[k]), centred.array(damped[k])
        yield _Node(s, weight, light[k], *lights, deviations[k], inverse(deviations[k]))


def _blocks(rows: Any) -> Iterator[slice]:
    """Blocks of rows; of a symmetric matrix only what is right of a block's first entry is computed."""
    for start in range(0, rows.shape[0], _ROWS):
        yield slice(start, min(start + _ROWS, rows.shape[0]))


def _pairs(phi: Homogeneous, node: _Node, rows: Any, own: slice) -> Pairs:
    covariance = (rows[own] * node.light) @ rows[own.start :].T
    return pairs(phi, covariance, node.inverses[own], node.inverses[own.start :])


def _moments(node: _Node, block: Pairs, own: slice) -> Any:
    """M = Σ_s∘P + κ sinθ∘aaᵀ."""
    moments = block.sines * node.deviations[own][:, None]
    moments *= node.deviations[own.start :]
    moments += block.covariance * block.slopes
    return moments


def _symmetric(x: Any, y: Any, own: slice) -> Any:
    """x yᵀ + y xᵀ in a block."""
    products = x[own][:, None] * y[own.start :]
    products += y[own][:, None] * x[own.start :]
    return products


def _square(rows: Any) -> Any:
    space = array_namespace(rows)
    return space.zeros((rows.shape[0], rows.shape[0]), dtype=rows.dtype, device=rows.device)


def _mirror(matrix: Any) -> None:
    """The lower triangle from the upper one."""
    for own in _blocks(matrix):
        block = matrix[own, own]
        matrix[own, own] = (block + block.T) / 2
        matrix[own.stop :, own] = matrix[own, own.stop :].T


def _add_to_diagonal(matrix: Any, values: Any) -> None:
    places = array_namespace(values).arange(values.shape[0], device=values.device)
    matrix[places, places] += values
