r"""Moments of φ(x) = c₁x + c₂|x| behind z ~ N(0, K) without batch norm, in blocks that stay in a processor's cache.

With a_i = √K_ii, ρ = K_ij/(a_i a_j), κ = 2c₂²/π and P = E[φ′φ′ᵀ] = c₁² + κ asin ρ,

    E[h hᵀ] = K∘P + κ aaᵀ∘√(1 − ρ²),   E[J Θ Jᵀ] = P∘Θ,   E[h] = c₂√(2/π) a

as in `arc_pairs`, which holds for samples without variance too. The lower triangle is a copy of the upper one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from normfield.theory.kernels.layer.moments import LayerMoments
from normfield.theory.kernels.pair_laws.laws import ROUNDOFF

_ROWS = 32


@dataclass(frozen=True, eq=False)
class Arcs:
    """What a layer's pairs need beside their covariances: a = √K_ii (B,), 1/a, c₁², κ, and where ρ is ±1."""

    deviation: Any
    inverses: Any
    near: Any
    straight: float
    kappa: float

    def of_block(self, block: Any, own: slice) -> tuple[Any, Any]:
        """E[h hᵀ] and E[φ′φ′ᵀ] of the rows `own` and the columns from its start on, for that block of K."""
        xp = array_namespace(block)
        rho = _correlations(block, self.inverses, self.near, own)
        slopes = xp.asin(rho)
        slopes *= self.kappa
        slopes += self.straight
        rho *= rho
        rho *= -1
        rho += 1
        moments = xp.sqrt(rho)
        moments *= (self.kappa * self.deviation[own])[:, None]
        moments *= self.deviation[own.start :]
        rho[...] = block
        rho *= slopes
        moments += rho
        return moments, slopes


def arcs_of(deviation: Any, c1: float, c2: float) -> Arcs:
    """The same for deviations (B,), all above 0, and φ(x) = c₁x + c₂|x|."""
    inverses = 1 / deviation
    near = ROUNDOFF * float(array_namespace(deviation).max(deviation)) ** 2 * inverses
    return Arcs(deviation, inverses, near, c1**2, 2 * c2**2 / math.pi)


def arc_moments(nngp: Any, ntk: Any | None, deviation: Any, c1: float, c2: float) -> LayerMoments:
    """Moments of a layer.

    Parameters
    ----------
    nngp : array
        K (B, B), symmetric.
    ntk : array, optional
        Θ (B, B), symmetric; without it nothing is pulled.
    deviation : array
        √K_ii (B,), all above 0.
    c1, c2
        φ(x) = c₁x + c₂|x|.
    """
    xp, arcs = array_namespace(nngp), arcs_of(deviation, c1, c2)
    second, slopes = xp.empty_like(nngp), xp.empty_like(nngp)
    pulled = None if ntk is None else xp.empty_like(nngp)
    for own in blocks_of(nngp):
        moments, slope = arcs.of_block(nngp[own, own.start :], own)
        second[own, own.start :] = moments
        slopes[own, own.start :] = slope
        if pulled is not None and ntk is not None:
            slope *= ntk[own, own.start :]
            pulled[own, own.start :] = slope
    for matrix in (second, slopes, pulled):
        mirror(matrix)
    mean = c2 * math.sqrt(2 / math.pi) * deviation
    nothing = xp.zeros(nngp.shape, dtype=nngp.dtype, device=nngp.device)
    return LayerMoments(second, pulled, nothing, slopes, mean)


def blocks_of(matrix: Any) -> Iterator[slice]:
    """Rows that fit a cache, block by block."""
    for start in range(0, matrix.shape[0], _ROWS):
        yield slice(start, min(start + _ROWS, matrix.shape[0]))


def _correlations(block: Any, inverses: Any, near: Any, own: slice) -> Any:
    """ρ of a block, exactly ±1 where 1 − |ρ| is round-off, and 1 on the diagonal."""
    xp = array_namespace(block)
    rho = block * inverses[own][:, None]
    rho *= inverses[own.start :]
    index = xp.arange(own.stop - own.start, device=block.device)
    rho[index, index] = 0.0
    closest = 1 - float(xp.max(near[own])) * float(xp.max(inverses[own.start :]))
    if max(float(xp.max(rho)), -float(xp.min(rho))) >= closest:
        coincide = 1 - xp.abs(rho) <= near[own][:, None] * inverses[own.start :]
        rho = xp.where(coincide, xp.sign(rho), rho)
    rho[index, index] = 1.0
    return rho


def mirror(matrix: Any | None) -> None:
    """The lower triangle from the upper one."""
    if matrix is None:
        return
    for own in blocks_of(matrix):
        matrix[own.stop :, own] = matrix[own, own.stop :].T
        block = matrix[own, own]
        matrix[own, own] = (block + block.T) / 2
