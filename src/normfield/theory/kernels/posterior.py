r"""Posteriors of regression with the kernels of infinitely wide networks [Lee et al. 2019, Eqs. 14-16].

With train and test blocks of K and Θ, ridge σ² and A the training block's inverse,

    NNGP   mean K_*(K + σ²)⁻¹y,    covariance K_** − K_*(K + σ²)⁻¹K_*ᵀ
    NTK    mean Θ_*(Θ + σ²)⁻¹y,    covariance K_** + W K Wᵀ − (W K_*ᵀ + K_* Wᵀ),   W = Θ_*(Θ + σ²)⁻¹.

Batch norm leaves kernels that are singular or nearly so in some directions. What is below the kernel's own error is
taken as zero, and these directions are left out: the limit σ² → 0⁺, and that of training for infinite time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_ROUNDOFF = 16 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class Posterior:
    """Mean (n, …) and covariance (n, n) at the test points.

    Attributes
    ----------
    mean, covariance : numpy.ndarray
    left_out : int
        Directions of the training batch in which the kernel vanishes.
    unexplained : float
        Share of ‖y‖² that lies in them.
    condition : float
        Largest over smallest eigenvalue of what was inverted.
    """

    mean: np.ndarray
    covariance: np.ndarray
    left_out: int
    unexplained: float
    condition: float


@dataclass(frozen=True)
class _Inverse:
    """Eigenvectors (B, k) and eigenvalues (k,) of a training kernel with its ridge."""

    vectors: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, kernel: np.ndarray, noise: float, error: float) -> _Inverse:
        """Eigenvalues without noise below the error of the kernel are zero."""
        values, vectors = np.linalg.eigh((kernel + kernel.T) / 2)
        least = max(error, _ROUNDOFF * len(values)) * max(float(values[-1]), 0.0)
        kept = values > least if noise == 0 else np.ones(len(values), dtype=bool)
        return cls(vectors[:, kept], np.clip(values[kept], 0.0, None) + noise)

    @property
    def condition(self) -> float:
        return float(self.values[-1] / self.values[0]) if self.values.size else math.inf

    def times(self, right: np.ndarray) -> np.ndarray:
        """A·right."""
        return self.vectors @ ((self.vectors.T @ right).T / self.values).T

    def unexplained(self, y: np.ndarray) -> float:
        total = float(np.sum(y**2))
        return max(0.0, 1 - float(np.sum((self.vectors.T @ y) ** 2)) / total) if total > 0 else 0.0


def nngp_posterior(nngp: np.ndarray, y: np.ndarray, noise: float, error: float) -> Posterior:
    """Bayesian regression with the prior K (B + n, B + n), y (B, …) with noise of variance σ²."""
    train, cross, test = _blocks(nngp, len(y))
    inverse = _Inverse.of(train, noise, error)
    weights = inverse.times(cross.T).T
    return _posterior(inverse, weights @ y, test - weights @ cross.T, y)


def ntk_posterior(nngp: np.ndarray, ntk: np.ndarray, y: np.ndarray, noise: float, error: float) -> Posterior:
    """Networks drawn at random and trained on the squared loss to the end, with a ridge σ² around where they began."""
    train, cross, test = _blocks(nngp, len(y))
    tangent, across, _ = _blocks(ntk, len(y))
    inverse = _Inverse.of(tangent, noise, error)
    weights = inverse.times(across.T).T
    mixed = weights @ cross.T
    return _posterior(inverse, weights @ y, test + weights @ train @ weights.T - mixed - mixed.T, y)


def _blocks(kernel: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train, test by train, and test."""
    return kernel[:batch, :batch], kernel[batch:, :batch], kernel[batch:, batch:]


def _posterior(inverse: _Inverse, mean: np.ndarray, covariance: np.ndarray, y: np.ndarray) -> Posterior:
    return Posterior(
        mean=mean,
        covariance=(covariance + covariance.T) / 2,
        left_out=len(y) - inverse.values.size,
        unexplained=inverse.unexplained(y),
        condition=inverse.condition,
    )
