"""A batch and further points as one Gaussian vector, turned so that weighting the batch's variance is diagonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.theory.kernels.layer.centred import CentredCovariance, host

_SLACK = 1e-7
_ROUNDOFF = 8 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class JointFactor:
    """y₁ = F₁g and y₂ = F₂g with independent standard normals g, turned so that F₁ = U diag(σ).

    Under the weight e^{−s‖y₁‖²} the covariance of y is F diag(1/(1 + 2sσ²)) Fᵀ: sums without cancellation.

    Attributes
    ----------
    directions : array
        U (B₁, r₁), orthonormal.
    strengths : numpy.ndarray
        σ² (r,), zeros behind the first r₁; r is the rank of all points together.
    loadings : array
        F₂ (B₂, r).
    """

    directions: Any
    strengths: np.ndarray
    loadings: Any

    @property
    def own_rank(self) -> int:
        """r₁."""
        return self.directions.shape[1]

    @property
    def rank(self) -> int:
        """r."""
        return self.strengths.size

    def array(self, numbers: np.ndarray) -> Any:
        """Host numbers in the namespace and on the device of the loadings."""
        space = array_namespace(self.loadings)
        return space.asarray(numbers, dtype=self.loadings.dtype, device=self.loadings.device)

    def crossed(self, shrink: np.ndarray) -> Any:
        """F₁ diag(shrink) F₂ᵀ (B₁, B₂)."""
        own = slice(0, self.own_rank)
        along = self.array(np.sqrt(self.strengths[own]) * shrink[own])
        return (self.directions * along) @ self.loadings[:, own].T

    @property
    def stacked(self) -> Any:
        """F (B₁ + B₂, r)."""
        space = array_namespace(self.loadings)
        own = self.directions * self.array(np.sqrt(self.strengths[: self.own_rank]))
        beyond = space.zeros((own.shape[0], self.rank - self.own_rank), dtype=own.dtype, device=own.device)
        return space.concat([space.concat([own, beyond], axis=1), self.loadings], axis=0)


def joint_factor(first: CentredCovariance, between: Any, other: Any) -> JointFactor:
    """Factor [[Σ₁, Ξ], [Ξᵀ, Σ₂]], Ξ (B₁, B₂) and Σ₂ (B₂, B₂) in units of their own.

    Raises
    ------
    InvalidInput
        The blocks are no covariance.
    """
    space = array_namespace(between)
    own = (first.vectors * first.array(first.values)) @ first.vectors.T
    rows = [space.concat([own, between], axis=1), space.concat([between.T, other], axis=1)]
    factor = _root(space.concat(rows, axis=0), first.rank)
    left, sizes, right = space.linalg.svd(factor[: first.size, :], full_matrices=True)
    strengths = np.zeros(factor.shape[1])
    strengths[: first.rank] = host(sizes)[: first.rank] ** 2
    return JointFactor(left[:, : first.rank], strengths, factor[first.size :, :] @ right.T)


def _root(joint: Any, least_rank: int) -> Any:
    """F (n, r) with F Fᵀ the matrix, r its rank."""
    space = array_namespace(joint)
    values, vectors = space.linalg.eigh(joint)
    found = host(values)
    largest = max(float(found[-1]), 0.0)
    if found[0] < -_SLACK * largest:
        raise InvalidInput(
            expected="blocks of one joint covariance of two batches",
            got=f"an eigenvalue of {found[0] / largest:.2g} of the largest",
            instead="take all three blocks from the covariance of both batches together",
        )
    rank = max(int(np.count_nonzero(found > _ROUNDOFF * found.size * largest)), least_rank)
    kept = slice(found.size - rank, found.size)
    return vectors[:, kept] * space.sqrt(space.clip(values[kept], min=0.0))
