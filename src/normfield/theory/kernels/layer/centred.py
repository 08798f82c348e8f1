"""The covariance that batch norm sees: Σ = GKG with its eigenvalues, scale and rank.

Under the weight e^{−sr²} a centred y ~ N(0, Σ) stays Gaussian, with Σ_s = Σ(I + 2sΣ)⁻¹ = V diag(λ/(1 + 2sλ)) Vᵀ: one
eigendecomposition gives every s. All here is in units of the mean variance trΣ/B, so that no scale of K is special.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, to_device

from normfield.errors import InvalidInput

_EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class CentredCovariance:
    """Σ = GKG of one batch, in units of ``scale``.

    Attributes
    ----------
    vectors : array
        Eigenvectors V (B, B) in columns.
    values : numpy.ndarray
        Eigenvalues λ (B,) on the host, those of round-off set to exactly 0.
    variances : array
        Diagonal of Σ (B,), those of round-off set to exactly 0.
    scale : float
        trΣ/B, or ε where Σ = 0.
    eps : float
        ε in units of ``scale``.
    roundoff : float
        What rounding leaves of a variance of 0, in units of ``scale``.
    """

    vectors: Any
    values: np.ndarray
    variances: Any
    scale: float
    eps: float
    roundoff: float

    @property
    def size(self) -> int:
        """Samples B."""
        return self.values.size

    @property
    def rank(self) -> int:
        """Eigenvalues above round-off."""
        return int(np.count_nonzero(self.values))

    def array(self, numbers: np.ndarray) -> Any:
        """Host numbers in the namespace and on the device of the vectors."""
        space = array_namespace(self.vectors)
        return space.asarray(numbers, dtype=self.vectors.dtype, device=self.vectors.device)


def host(x: Any) -> np.ndarray:
    """A small array on the host."""
    return np.asarray(to_device(x, "cpu"))


def centre(matrix: Any) -> Any:
    """G X G; twice, so that a large common part leaves nothing of its rounding."""
    space = array_namespace(matrix)
    centred = matrix - space.mean(matrix, axis=0, keepdims=True)
    centred -= space.mean(centred, axis=1, keepdims=True)
    centred -= space.mean(centred, axis=0, keepdims=True)
    centred -= space.mean(centred, axis=1, keepdims=True)
    return centred


def centred_covariance(covariance: Any, eps: float) -> CentredCovariance:
    """Eigenvalues and vectors of GKG.

    Parameters
    ----------
    covariance
        K (B, B).
    eps
        ε ≥ 0.

    Raises
    ------
    InvalidInput
        If all samples have the same pre-activation and ε = 0, so that there is nothing to divide by.
    """
    space = array_namespace(covariance)
    size = covariance.shape[0]
    rounding = 16 * _EPSILON * float(space.max(space.abs(covariance)))
    sigma = centre(covariance)
    scale = float(space.sum(space.linalg.diagonal(sigma))) / size
    if scale <= rounding:
        scale = _eps_as_scale(eps)
        sigma *= 0.0
    sigma /= scale
    values, vectors = space.linalg.eigh(sigma)
    roundoff = rounding / scale
    kept = np.array(host(values))
    kept[kept <= roundoff * size / 2] = 0.0
    variances = space.linalg.diagonal(sigma)
    variances = space.where(variances <= roundoff, space.zeros_like(variances), variances)
    return CentredCovariance(vectors, kept, variances, scale, eps / scale, roundoff)


def _eps_as_scale(eps: float) -> float:
    """The unit of a batch without variance."""
    if eps > 0:
        return eps
    raise InvalidInput(
        expected="samples that differ, since batch norm divides by their variance",
        got="a batch of constant features with eps = 0",
        instead="remove the constant features or give eps > 0",
    )
