"""Two batches that a network normalises separately: their joint covariance, and what a layer makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.theory.kernels.centred import CentredCovariance, centre, centred_covariance, host

_SLACK = 1e-7


@dataclass(frozen=True)
class CrossMoments:
    """Expectations between one unit's activations on two batches, (B₁, B₂) arrays of the namespace of K.

    Attributes
    ----------
    second : array
        E[h₁ h₂ᵀ].
    pulled : array or None
        E[J₁ Θ₁₂ J₂ᵀ]; None where no Θ₁₂ was given.
    by_scale : array
        E[φ′₁φ′₂ᵀ ∘ u₁u₂ᵀ], what γ adds to the tangent kernel.
    by_shift : array
        E[φ′₁φ′₂ᵀ], what β adds.
    error : float
        Estimated error of the largest entries, relative to them; of Monte Carlo one standard error; 0 for closed forms.
    status : str
        "" or what is wrong: "diverges: …".
    """

    second: Any
    pulled: Any
    by_scale: Any
    by_shift: Any
    error: float = 0.0
    status: str = ""


@dataclass(frozen=True)
class TwoBatches:
    """Centred covariances of two batches, each in units of its own mean variance.

    With independent standard normals g and F Fᵀ = [[Σ₁, Ξ], [Ξᵀ, Σ₂]], y₁ = F₁g and y₂ = F₂g; g is turned so that
    F₁ = U diag(σ), which keeps every sum over it free of cancellation.

    Attributes
    ----------
    first, second : CentredCovariance
        Σ₁ (B₁, B₁) and Σ₂ (B₂, B₂).
    directions : array
        U (B₁, r₁), orthonormal.
    strengths : numpy.ndarray
        σ² (r,), zeros behind the first r₁; r is the rank of both batches together.
    loadings : array
        F₂ (B₂, r).
    """

    first: CentredCovariance
    second: CentredCovariance
    directions: Any
    strengths: np.ndarray
    loadings: Any

    @property
    def joint_rank(self) -> int:
        """r, of [[Σ₁, Ξ], [Ξᵀ, Σ₂]]."""
        return self.strengths.size

    @property
    def between(self) -> Any:
        """Ξ = G₁K₁₂G₂ (B₁, B₂)."""
        return self.crossed(np.ones(self.joint_rank))

    def crossed(self, shrink: np.ndarray) -> Any:
        """F₁ diag(shrink) F₂ᵀ."""
        own = slice(0, self.first.rank)
        along = self.first.array(np.sqrt(self.strengths[own]) * shrink[own])
        return (self.directions * along) @ self.loadings[:, own].T

    @property
    def unit(self) -> float:
        """√(scale₁·scale₂)."""
        return (self.first.scale * self.second.scale) ** 0.5

    @property
    def diverges(self) -> bool:
        """Whether E[‖J₁‖‖J₂‖] is infinite: at ε = 0 a batch in one direction, or both in the same two."""
        if self.first.eps > 0:
            return False
        return min(self.first.rank, self.second.rank) < 2 or self.joint_rank < 3


def two_batches(nngp_11: Any, nngp_12: Any, nngp_22: Any, eps: float) -> TwoBatches:
    """Centre K₁₁ (B₁, B₁), K₁₂ (B₁, B₂) and K₂₂ (B₂, B₂).

    Raises
    ------
    InvalidInput
        Shapes that do not fit, samples of a batch that are all alike at ε = 0, or blocks that are no joint covariance.
    """
    _check_shapes(nngp_11, nngp_12, nngp_22)
    space = array_namespace(nngp_12)
    first, second = centred_covariance(nngp_11, eps), centred_covariance(nngp_22, eps)
    factor = _factor(first, centre(nngp_12) / (first.scale * second.scale) ** 0.5, second)
    left, sizes, right = space.linalg.svd(factor[: first.size, :], full_matrices=True)
    strengths = np.zeros(factor.shape[1])
    strengths[: first.rank] = host(sizes)[: first.rank] ** 2
    return TwoBatches(first, second, left[:, : first.rank], strengths, factor[first.size :, :] @ right.T)


def _check_shapes(nngp_11: Any, nngp_12: Any, nngp_22: Any) -> None:
    b1, b2 = nngp_12.shape
    if tuple(nngp_11.shape) != (b1, b1) or tuple(nngp_22.shape) != (b2, b2):
        raise InvalidInput(
            expected=f"kernels of shape ({b1}, {b1}) and ({b2}, {b2}) beside one of shape ({b1}, {b2}) between batches",
            got=f"{tuple(nngp_11.shape)} and {tuple(nngp_22.shape)}",
        )


def _factor(first: CentredCovariance, between: Any, second: CentredCovariance) -> Any:
    """F (B₁ + B₂, r) with F Fᵀ = [[Σ₁, Ξ], [Ξᵀ, Σ₂]]."""
    space = array_namespace(between)
    blocks = [(each.vectors * each.array(each.values)) @ each.vectors.T for each in (first, second)]
    rows = [space.concat([blocks[0], between], axis=1), space.concat([between.T, blocks[1]], axis=1)]
    values, vectors = space.linalg.eigh(space.concat(rows, axis=0))
    found = host(values)
    largest = max(float(found[-1]), 0.0)
    if found[0] < -_SLACK * largest:
        raise InvalidInput(
            expected="blocks of one joint covariance of two batches",
            got=f"an eigenvalue of {found[0] / largest:.2g} of the largest",
            instead="take all three blocks from the covariance of both batches together",
        )
    kept = found > 8 * np.finfo(float).eps * found.size * largest
    rank = max(int(np.count_nonzero(kept)), first.rank)
    return vectors[:, -rank:] * space.sqrt(space.clip(values[-rank:], min=0.0)) if rank else vectors[:, :0]
