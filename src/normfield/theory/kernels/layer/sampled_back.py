r"""The way back through a layer with batch norm by Monte Carlo over z: any activation, β and ε.

With g = κφ′(κy + β), κ = γ√(B/R) and R = ‖y‖² + Bε for each draw of y ~ N(0, Σ), Σ = GKG, J = diag(g)(G − yyᵀ/R) gives

    JᵀΠJ = G A G − (G a yᵀ + y aᵀ G)/R + (yᵀa) yyᵀ/R²,    A = Π∘ggᵀ,    a = Ay = g∘Π(g∘y),

so that sums over draws are matrix products.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.network import ActivationFunction
from normfield.theory.gaussian import derivative
from normfield.theory.kernels.layer.centred import CentredCovariance, centre, centred_covariance, host
from normfield.theory.kernels.layer.diverging import divergence
from normfield.theory.kernels.layer.draws import blocks_of_draws
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.layer.sampled import normal_draws


def sampled_pull_back(
    nngp: Any,
    pi: Any,
    norm: BatchNormalisation,
    phi: ActivationFunction,
    samples: int = 10_000,
    seed: int = 0,
) -> tuple[Any, float]:
    """E[JᵀΠJ] (B, B), the adjoint of Θ ↦ E[JΘJᵀ], and the standard error of its trace, relative.

    Parameters
    ----------
    nngp : array
        K (B, B).
    pi : array
        Π (B, B), symmetric.
    norm, phi
        γ, β and ε of the batch norm, and the activation's row.
    samples
        Draws of z, rounded up to full blocks.
    seed
        Of the draws.
    """
    centred = centred_covariance(host(nngp), norm.eps)
    if divergence(centred):
        return nngp * 0 + math.inf, math.inf
    behind = host(pi)
    blocks, size = blocks_of_draws(samples, centred.size)
    total, traces = np.zeros_like(behind), []
    for y in normal_draws(centred, blocks, size, seed):
        one = _block(y, centred, behind, norm, phi)
        total += one / blocks
        traces.append(np.trace(one))
    error = np.std(traces, ddof=1) / math.sqrt(blocks) / abs(np.mean(traces)) if np.any(traces) else 0.0
    xp = array_namespace(pi)
    return xp.asarray((total + total.T) / 2, dtype=pi.dtype, device=getattr(pi, "device", None)), float(error)


def _block(
    y: np.ndarray,
    centred: CentredCovariance,
    pi: np.ndarray,
    norm: BatchNormalisation,
    phi: ActivationFunction,
) -> np.ndarray:
    """The mean over one block."""
    R = np.einsum("ni,ni->n", y, y)[:, None] + centred.size * centred.eps
    root = np.sqrt(centred.size / R)
    gain = norm.gamma * root * derivative(phi)(norm.gamma * root * y + norm.beta)
    a = gain * ((gain * y) @ pi)
    crossed = a.T @ (y / R)
    square = np.einsum("ni,ni->n", a, y)[:, None]
    total = pi * (gain.T @ gain) - crossed - crossed.T + (y * (square / R**2)).T @ y
    return centre(total) / (len(y) * centred.scale)
