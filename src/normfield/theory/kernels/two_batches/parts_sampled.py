r"""Moments of points normalised by parts by Monte Carlo over z: any activation, β and ε, with a standard error.

For a draw y of source p with R_p = ‖y_p‖² + B_pε, κ = γ√(B_p/R_p), ψ = φ′(κy + β), k = κψ, w = k∘y/R_p and T = HΘHᵀ,

    (JΘJᵀ)_ij = k_ik_jT_ij − w_i k_j (T_jp y_p) − k_i (T_iq y_q) w_j + w_iw_j (y_pᵀT_pq y_q),

so that sums over draws are matrix products. All points are drawn together: means are Gram matrices, hence covariances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.network import ActivationFunction
from normfield.theory import ops
from normfield.theory.gaussian import derivative
from normfield.theory.kernels.layer.centred import host
from normfield.theory.kernels.layer.draws import blocks_of_draws
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.layer.sampled import SampledMoments
from normfield.theory.kernels.two_batches.blocks import CrossMoments, stacked_blocks
from normfield.theory.kernels.two_batches.parts import Part, apart, centred_by


def parts_sampled(
    nngp: Any,
    ntk: Any | None,
    parts: Sequence[Part],
    norm: BatchNormalisation,
    phi: ActivationFunction,
    samples: int = 10_000,
    seed: int = 0,
) -> SampledMoments:
    """Moments of φ(γu + β) at points normalised by parts, as means over draws of z ~ N(0, K).

    Parameters
    ----------
    nngp : array
        K (N, N).
    ntk : array, optional
        Θ (N, N); without it nothing is pulled.
    parts
        Whose statistics each point takes, in order.
    norm, phi
        γ, β, ε and the activation's row.
    samples
        Draws of z, 32 or more; rounded up to full blocks, whose scatter gives the standard errors.
    seed
        Of the draws.

    Returns
    -------
    SampledMoments
        ``error`` is the largest standard error relative to the largest entry of the diagonal.

    Raises
    ------
    InvalidInput
        If samples of a source do not differ and ε = 0, or ``samples`` is below 32.
    """
    sigma = centred_by(host(nngp), parts)
    root = _root(sigma, float(np.abs(host(nngp)).max()))
    _require_variance(root, parts, norm.eps)
    tangent = None if ntk is None else centred_by(host(ntk), parts)
    blocks, size = blocks_of_draws(samples, sigma.shape[0])
    generator = np.random.default_rng(seed)
    sums: dict[str, np.ndarray] = {}
    for _ in range(blocks):
        y = generator.standard_normal((size, root.shape[1])) @ root.T
        for name, value in _block(y, parts, tangent, norm, phi).items():
            sums[name] = sums.get(name, 0.0) + np.stack([value, value**2])
    return _collected(sums, nngp, blocks, size)


def cross_sampled(
    nngp_11: Any,
    nngp_12: Any,
    nngp_22: Any,
    ntk_12: Any | None,
    norm: BatchNormalisation,
    phi: ActivationFunction,
    samples: int = 10_000,
    seed: int = 0,
) -> CrossMoments:
    """Moments between two batches, each normalised with its own statistics, by Monte Carlo.

    Parameters
    ----------
    nngp_11, nngp_12, nngp_22, ntk_12 : array
        As in `cross_moments`.
    norm, phi, samples, seed
        As in `parts_sampled`, as are the errors raised.
    """
    first = nngp_12.shape[0]
    nngp = stacked_blocks(nngp_11, nngp_12, nngp_22)
    ntk = None if ntk_12 is None else stacked_blocks(0 * nngp_11, ntk_12, 0 * nngp_22)
    joint = parts_sampled(nngp, ntk, apart(first, nngp.shape[0]), norm, phi, samples, seed)
    return CrossMoments.block(joint, first)


def _root(sigma: np.ndarray, level: float) -> np.ndarray:
    """F with F Fᵀ = Σ but for round-off of ``level``."""
    values, vectors = np.linalg.eigh(sigma)
    kept = values > 16 * np.finfo(float).eps * len(values) * level
    return vectors[:, kept] * np.sqrt(values[kept])


def _require_variance(root: np.ndarray, parts: Sequence[Part], eps: float) -> None:
    if eps > 0 or all(np.any(root[part.source] ** 2 > 0) for part in parts):
        return
    raise InvalidInput(
        expected="samples that differ, since batch norm divides by their variance",
        got="a batch of constant features with eps = 0",
        instead="remove the constant features or give eps > 0",
    )


def _block(
    y: np.ndarray,
    parts: Sequence[Part],
    tangent: np.ndarray | None,
    norm: BatchNormalisation,
    phi: ActivationFunction,
) -> dict[str, np.ndarray]:
    """Means over one block of draws."""
    normalisers = [
        np.einsum("ni,ni->n", y[:, part.source], y[:, part.source])[:, None] + part.size * norm.eps
        for part in parts
    ]
    spread = np.concatenate(
        [
            np.sqrt(part.size / R) * np.ones((1, part.points.stop - part.points.start))
            for part, R in zip(parts, normalisers, strict=True)
        ],
        axis=1,
    )
    u = spread * y
    h = phi.function(ops, norm.gamma * u + norm.beta)
    slope = derivative(phi)(norm.gamma * u + norm.beta)
    n = y.shape[0]
    scaled = slope * u
    found = {
        "second": h.T @ h / n,
        "by_scale": scaled.T @ scaled / n,
        "by_shift": slope.T @ slope / n,
        "mean": h.mean(axis=0),
    }
    if tangent is not None:
        found["pulled"] = _pulled(y, normalisers, norm.gamma * spread * slope, parts, tangent) / n
    return found


def _pulled(
    y: np.ndarray,
    normalisers: Sequence[np.ndarray],
    gain: np.ndarray,
    parts: Sequence[Part],
    tangent: np.ndarray,
) -> np.ndarray:
    """Σ J Θ Jᵀ over draws, gain = k."""
    total = tangent * (gain.T @ gain)
    leaning = [
        gain[:, part.points] * y[:, part.points] / R for part, R in zip(parts, normalisers, strict=True)
    ]
    for p, w_p in zip(parts, leaning, strict=True):
        for q, w_q in zip(parts, leaning, strict=True):
            pulled_rows = y[:, p.source] @ tangent[p.source, q.points]
            pulled_columns = y[:, q.source] @ tangent[q.source, p.points]
            square = np.einsum("np,np->n", pulled_rows[:, _inside(q)], y[:, q.source])[:, None]
            total[p.points, q.points] += w_p.T @ (w_q * square - gain[:, q.points] * pulled_rows)
            total[p.points, q.points] -= (gain[:, p.points] * pulled_columns).T @ w_q
    return total


def _inside(part: Part) -> slice:
    """The source among the part's own points."""
    start = part.source.start - part.points.start
    return slice(start, start + part.size)


def _collected(sums: dict[str, np.ndarray], nngp: Any, blocks: int, size: int) -> SampledMoments:
    means = {name: total[0] / blocks for name, total in sums.items()}
    errors = {
        name: np.sqrt(np.clip(sums[name][1] / blocks - means[name] ** 2, 0, None) / (blocks - 1))
        for name in ("second", "pulled")
        if name in sums
    }
    space = array_namespace(nngp)
    give = {
        name: space.asarray(each, dtype=nngp.dtype, device=getattr(nngp, "device", None))
        for name, each in (means | {f"{name}_error": each for name, each in errors.items()}).items()
    }
    relative = [
        float(errors[name].max()) / max(float(np.abs(np.diagonal(means[name])).max()), np.finfo(float).tiny)
        for name in errors
    ]
    return SampledMoments(
        second=give["second"],
        pulled=give.get("pulled"),
        by_scale=give["by_scale"],
        by_shift=give["by_shift"],
        mean=give["mean"],
        error=max(relative),
        second_error=give["second_error"],
        pulled_error=give.get("pulled_error"),
        draws=blocks * size,
    )
