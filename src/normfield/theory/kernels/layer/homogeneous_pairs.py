"""Two jointly normal pre-activations under φ(x) = c₁x + c₂|x|: arc-cosine expectations, a block of pairs at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

_ONE = 1 - 16 * float(np.finfo(float).eps)  # correlations this near to ±1 are samples that coincide
_ROWS = 128


@dataclass(frozen=True)
class Homogeneous:
    """φ(x) = c₁x + c₂|x|; ``resting`` is φ′(0), taken by samples without variance (c₁ if not given)."""

    c1: float
    c2: float
    resting: float | None = None

    @property
    def kappa(self) -> float:
        """2c₂²/π."""
        return 2 * self.c2**2 / math.pi

    def linear_slopes(self, rows: Any, columns: Any) -> Any:
        """What the linear part gives to E[φ′φ′], for samples with these inverse deviations."""
        if self.resting is None or self.resting == self.c1:
            return self.c1**2
        return self._mean_slopes(rows)[..., :, None] * self._mean_slopes(columns)[..., None, :]

    def _mean_slopes(self, inverses: Any) -> Any:
        space = array_namespace(inverses)
        ones = space.ones_like(inverses)
        return space.where(inverses == 0, self.resting * ones, self.c1 * ones)


@dataclass(frozen=True)
class Pairs:
    """Covariances of a block of pairs, P = E[φ′φ′] and κ sinθ = κ√(1 − ρ²)."""

    covariance: Any
    slopes: Any
    sines: Any


def inverse(deviations: Any) -> Any:
    """1/a, and 0 where a = 0: a sample without variance has the correlation 0 with all."""
    space = array_namespace(deviations)
    empty = deviations <= 0
    return space.where(
        empty, space.zeros_like(deviations), 1 / space.where(empty, 1 + deviations, deviations)
    )


def pairs(phi: Homogeneous, covariance: Any, rows: Any, columns: Any) -> Pairs:
    """P and κ sinθ from a block of covariances, or a stack of them, and the inverse deviations of rows and columns."""
    space = array_namespace(covariance)
    cosines = covariance * rows[..., :, None]
    cosines *= columns[..., None, :]
    sines = _ONE - cosines * cosines
    sines = space.sqrt(space.clip(sines, min=0.0))
    slopes = space.atan2(cosines, sines)
    slopes *= phi.kappa
    slopes += phi.linear_slopes(rows, columns)
    sines *= phi.kappa
    return Pairs(covariance, slopes, sines)


def pair_slopes(phi: Homogeneous, covariance: Any, variances: Any) -> Any:
    """E[φ′φ′ᵀ] (B, B), a block of rows at a time; signs do not feel a normaliser."""
    space = array_namespace(covariance)
    inverses = inverse(space.sqrt(variances))
    slopes = space.empty_like(covariance)
    for start in range(0, covariance.shape[0], _ROWS):
        own = slice(start, start + _ROWS)
        slopes[own, :] = pairs(phi, covariance[own, :], inverses[own], inverses).slopes
    slopes = slopes + slopes.T
    slopes /= 2
    return slopes
