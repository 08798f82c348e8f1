r"""Moments of a layer with batch norm by Monte Carlo over z: any activation, β and ε, with a standard error.

For each draw y ~ N(0, Σ), Σ = GKG, with R = ‖y‖² + Bε, κ = γ√(B/R), ψ = φ′(κy + β), T = GΘG and t = Ty,

    J Θ Jᵀ = T∘(κψ)(κψ)ᵀ + vwᵀ + wvᵀ,   v = κψ∘y/R,   w = κψ∘(y (yᵀt)/(2R) − t),

so that sums over draws are matrix products. Draws come in independent blocks of one size, whose scatter gives the
standard error of every entry. (y and −y as a pair do not help: what they cancel costs as much as it saves.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.network import ActivationFunction
from normfield.theory import ops
from normfield.theory.gaussian import derivative
from normfield.theory.kernels.layer.centred import CentredCovariance, centre, centred_covariance, host
from normfield.theory.kernels.layer.diverging import divergence
from normfield.theory.kernels.layer.draws import blocks_of_draws
from normfield.theory.kernels.layer.moments import BatchNormalisation, LayerMoments


@dataclass(frozen=True)
class SampledMoments(LayerMoments):
    """Moments with the standard error of every entry.

    Attributes
    ----------
    second_error, pulled_error : array
        Standard errors of ``second`` and ``pulled`` (B, B).
    draws : int
        Draws of z that were taken.
    """

    second_error: Any = None
    pulled_error: Any = None
    draws: int = 0


@dataclass
class _Running:
    """Mean and scatter of equally many draws' means, by Welford's recursion."""

    mean: np.ndarray | float = 0.0
    scatter: np.ndarray | float = 0.0
    count: int = 0

    def add(self, value: np.ndarray) -> None:
        self.count += 1
        change = value - self.mean
        self.mean = self.mean + change / self.count
        self.scatter = self.scatter + change * (value - self.mean)

    def standard_error(self) -> np.ndarray:
        return np.sqrt(np.asarray(self.scatter) / (self.count * (self.count - 1)))


def sampled_moments(
    nngp: Any,
    ntk: Any | None,
    norm: BatchNormalisation,
    phi: ActivationFunction,
    samples: int = 10_000,
    seed: int = 0,
) -> SampledMoments:
    """Moments of φ(γu + β) as means over draws of z ~ N(0, K).

    Parameters
    ----------
    nngp : array
        K (B, B).
    ntk : array, optional
        Θ (B, B); without it nothing is pulled.
    norm
        γ, β and ε of the batch norm.
    phi
        The activation's row.
    samples
        Draws of z, 32 or more; rounded up to full blocks.
    seed
        Of the draws; the same seed gives the same numbers.

    Returns
    -------
    SampledMoments
        ``error`` is the largest standard error relative to the largest entry of the diagonal; infinite
        where single draws have infinite variance (ε = 0 and Σ of rank 3 or 4).

    Raises
    ------
    InvalidInput
        If samples do not differ and ε = 0, or ``samples`` is below 32.
    """
    centred = centred_covariance(host(nngp), norm.eps)
    status = "" if ntk is None else divergence(centred)
    tangent = None if ntk is None or status else centre(host(ntk)) / centred.scale
    blocks, size = blocks_of_draws(samples, centred.size)
    sums: dict[str, _Running] = {}
    for y in normal_draws(centred, blocks, size, seed):
        for name, value in _block(y, centred, tangent, norm, phi).items():
            sums.setdefault(name, _Running()).add(value)
    return _collected(sums, nngp, ntk, centred, status, blocks * size)


def normal_draws(centred: CentredCovariance, blocks: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of y (size, B); samples without variance stay at exactly 0."""
    kept = centred.values > 0
    spread = (centred.vectors[:, kept] * np.sqrt(centred.values[kept])) * (centred.variances > 0)[:, None]
    generator = np.random.default_rng(seed)
    for _ in range(blocks):
        yield generator.standard_normal((size, spread.shape[1])) @ spread.T


def _block(
    y: np.ndarray,
    centred: CentredCovariance,
    tangent: np.ndarray | None,
    norm: BatchNormalisation,
    phi: ActivationFunction,
) -> dict[str, np.ndarray]:
    """Means over one block."""
    n = y.shape[0]
    R = np.einsum("ni,ni->n", y, y)[:, None] + centred.size * centred.eps
    root = np.sqrt(centred.size / R)
    u = root * y
    h = phi.function(ops, norm.gamma * u + norm.beta)
    slope = derivative(phi)(norm.gamma * u + norm.beta)
    scaled = slope * u
    found = {
        "second": h.T @ h / n,
        "by_scale": scaled.T @ scaled / n,
        "by_shift": slope.T @ slope / n,
        "mean": h.mean(axis=0),
    }
    if tangent is not None:
        found["pulled"] = _pulled(y, R, norm.gamma * root * slope, tangent) / n
    return found


def _pulled(y: np.ndarray, R: np.ndarray, gain: np.ndarray, tangent: np.ndarray) -> np.ndarray:
    """Σ J Θ Jᵀ over draws, gain = κψ."""
    t = y @ tangent
    square = np.einsum("ni,ni->n", y, t)[:, None]
    w = gain * (y * (square / (2 * R)) - t)
    crossed = (gain * y / R).T @ w
    return tangent * (gain.T @ gain) + crossed + crossed.T


def _collected(
    sums: dict[str, _Running], nngp: Any, ntk: Any | None, centred: CentredCovariance, status: str, draws: int
) -> SampledMoments:
    xp = array_namespace(nngp)
    give = lambda x: xp.asarray(x, dtype=nngp.dtype, device=getattr(nngp, "device", None))  # noqa: E731
    errors = {name: sums[name].standard_error() for name in ("second", "pulled") if name in sums}
    relative = [_relative(errors[name], np.asarray(sums[name].mean)) for name in errors]
    if "pulled" in sums and centred.eps == 0 and centred.rank <= 4:
        relative.append(math.inf)
    means = {name: give(each.mean) for name, each in sums.items()}
    if status:
        means["pulled"] = means["second"] * 0 + math.inf
    return SampledMoments(
        second=means["second"],
        pulled=means.get("pulled"),
        by_scale=means["by_scale"],
        by_shift=means["by_shift"],
        mean=means["mean"],
        error=max(relative),
        status=status,
        second_error=give(errors["second"]),
        pulled_error=give(errors["pulled"]) if "pulled" in errors else None,
        draws=draws,
    )


def _relative(error: np.ndarray, mean: np.ndarray) -> float:
    size = float(np.abs(np.diagonal(mean)).max())
    return float(error.max()) / size if size > 0 else float(error.max())
