"""Two batches that a network normalises separately: their joint covariance, and what a layer makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.theory.kernels.layer.centred import CentredCovariance, centre, centred_covariance
from normfield.theory.kernels.layer.moments import LayerMoments
from normfield.theory.kernels.two_batches.joint_factor import JointFactor, joint_factor


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

    @classmethod
    def block(cls, joint: LayerMoments, first: int) -> CrossMoments:
        """The block between the first points and the others."""
        parts = (joint.second, joint.pulled, joint.by_scale, joint.by_shift)
        found = (None if part is None else part[:first, first:] for part in parts)
        return cls(*found, error=joint.error, status=joint.status)


def stacked_blocks(block_11: Any, block_12: Any, block_22: Any) -> Any:
    """[[block₁₁, block₁₂], [block₁₂ᵀ, block₂₂]]."""
    space = array_namespace(block_12)
    rows = [space.concat([block_11, block_12], axis=1), space.concat([block_12.T, block_22], axis=1)]
    return space.concat(rows, axis=0)


@dataclass(frozen=True)
class TwoBatches:
    """Centred covariances of two batches, each in units of its own mean variance.

    Attributes
    ----------
    first, second : CentredCovariance
        Σ₁ (B₁, B₁) and Σ₂ (B₂, B₂).
    factor : JointFactor
        Of both together.
    """

    first: CentredCovariance
    second: CentredCovariance
    factor: JointFactor

    @property
    def between(self) -> Any:
        """Ξ = G₁K₁₂G₂ (B₁, B₂)."""
        return self.factor.crossed(np.ones(self.factor.rank))

    @property
    def unit(self) -> float:
        """√(scale₁·scale₂)."""
        return (self.first.scale * self.second.scale) ** 0.5

    @property
    def diverges(self) -> bool:
        """Whether E[‖J₁‖‖J₂‖] is infinite: at ε = 0 a batch in one direction, or both in the same two."""
        if self.first.eps > 0:
            return False
        return min(self.first.rank, self.second.rank) < 2 or self.factor.rank < 3


def two_batches(nngp_11: Any, nngp_12: Any, nngp_22: Any, eps: float) -> TwoBatches:
    """Centre K₁₁ (B₁, B₁), K₁₂ (B₁, B₂) and K₂₂ (B₂, B₂).

    Raises
    ------
    InvalidInput
        Shapes that do not fit, samples of a batch that are all alike at ε = 0, or blocks that are no joint covariance.
    """
    _check_shapes(nngp_11, nngp_12, nngp_22)
    first, second = centred_covariance(nngp_11, eps), centred_covariance(nngp_22, eps)
    between = centre(nngp_12) / (first.scale * second.scale) ** 0.5
    other = (second.vectors * second.array(second.values)) @ second.vectors.T
    return TwoBatches(first, second, joint_factor(first, between, other))


def _check_shapes(nngp_11: Any, nngp_12: Any, nngp_22: Any) -> None:
    b1, b2 = nngp_12.shape
    if tuple(nngp_11.shape) != (b1, b1) or tuple(nngp_22.shape) != (b2, b2):
        raise InvalidInput(
            expected=f"kernels of shape ({b1}, {b1}) and ({b2}, {b2}) beside one of shape ({b1}, {b2}) between batches",
            got=f"{tuple(nngp_11.shape)} and {tuple(nngp_22.shape)}",
        )
