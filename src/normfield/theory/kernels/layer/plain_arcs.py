r"""Moments of φ(x) = c₁x + c₂|x| behind z ~ N(0, K) without batch norm, in blocks that stay in a processor's cache.

With a_i = √K_ii, ρ = K_ij/(a_i a_j), κ = 2c₂²/π and P = E[φ′φ′ᵀ] = c₁² + κ asin ρ,

    E[h hᵀ] = K∘P + κ aaᵀ∘√(1 − ρ²),   E[J Θ Jᵀ] = P∘Θ,   E[h] = c₂√(2/π) a

as in `arc_pairs`, which holds for samples without variance too. The lower triangle is a copy of the upper one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from array_api_compat import array_namespace

from normfield.theory.kernels.layer.moments import LayerMoments
from normfield.theory.kernels.pair_laws.laws import ROUNDOFF

_ROWS = 32


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
    xp, kappa = array_namespace(nngp), 2 * c2**2 / math.pi
    second, slopes = xp.empty_like(nngp), xp.empty_like(nngp)
    pulled = None if ntk is None else xp.empty_like(nngp)
    inverses = 1 / deviation
    near = ROUNDOFF * float(xp.max(deviation)) ** 2 * inverses
    for own in _blocks(nngp):
        block = nngp[own, own.start :]
        rho = _correlations(block, inverses, near, own)
        slope = xp.asin(rho)
        slope *= kappa
        slope += c1**2
        rho *= rho
        rho *= -1
        rho += 1
        moments = xp.sqrt(rho)
        moments *= (kappa * deviation[own])[:, None]
        moments *= deviation[own.start :]
        rho[...] = block
        rho *= slope
        moments += rho
        second[own, own.start :] = moments
        slopes[own, own.start :] = slope
        if pulled is not None and ntk is not None:
            slope *= ntk[own, own.start :]
            pulled[own, own.start :] = slope
    for matrix in (second, slopes, pulled):
        _mirror(matrix)
    mean = c2 * math.sqrt(2 / math.pi) * deviation
    nothing = xp.zeros(nngp.shape, dtype=nngp.dtype, device=nngp.device)
    return LayerMoments(second, pulled, nothing, slopes, mean)


def _blocks(matrix: Any) -> Iterator[slice]:
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


def _mirror(matrix: Any | None) -> None:
    """The lower triangle from the upper one."""
    if matrix is None:
        return
    for own in _blocks(matrix):
        matrix[own.stop :, own] = matrix[own, own.stop :].T
        block = matrix[own, own]
        matrix[own, own] = (block + block.T) / 2
