"""How far samples are from Gaussian: Mardia's skewness and kurtosis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_FAR = 4.0  # standard errors


@dataclass(frozen=True)
class Departure:
    """Mardia's measures of samples in d dimensions, beside what Gaussian ones have.

    Attributes
    ----------
    skewness
        b₁ = E(ξᵀξ′)³ over pairs of whitened samples.
    gaussian_skewness
        What it is of as many Gaussian samples, about d(d + 1)(d + 2)/n.
    kurtosis
        b₂ = E|ξ|⁴ over d(d + 2); 1 for Gaussian ones.
    skewness_errors, kurtosis_errors
        How many standard errors of Gaussian samples each is above theirs.
    """

    skewness: float
    gaussian_skewness: float
    kurtosis: float
    skewness_errors: float
    kurtosis_errors: float

    @property
    def is_far(self) -> bool:
        """Whether one of them is more than 4 standard errors off."""
        return max(self.skewness_errors, abs(self.kurtosis_errors)) > _FAR

    def __str__(self) -> str:
        return (
            f"kurtosis {self.kurtosis:.3g} times a Gaussian's ({self.kurtosis_errors:+.1f} standard errors), "
            f"skewness {self.skewness:.3g} beside {self.gaussian_skewness:.3g} ({self.skewness_errors:+.1f})"
        )


def departure(samples: np.ndarray) -> Departure:
    """Mardia's measures of samples (n, d), more of them than dimensions."""
    n, d = samples.shape
    centred = samples - samples.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    white = left[:, values > values[0] * n * np.finfo(float).eps] * math.sqrt(n)
    d = white.shape[1]
    # E(ξᵀξ′)³ = ‖E ξ⊗ξ⊗ξ‖²
    third = np.einsum("ni,nj,nk->ijk", white, white, white, optimize=True) / n
    skewness = float(np.sum(third**2))
    kurtosis = float(np.mean(np.sum(white**2, axis=1) ** 2))
    freedom = d * (d + 1) * (d + 2) / 6
    return Departure(
        skewness=skewness,
        gaussian_skewness=6 * freedom / n,
        kurtosis=kurtosis / (d * (d + 2)),
        skewness_errors=(n * skewness / 6 - freedom) / math.sqrt(2 * freedom),
        kurtosis_errors=(kurtosis - d * (d + 2)) / math.sqrt(8 * d * (d + 2) / n),
    )
