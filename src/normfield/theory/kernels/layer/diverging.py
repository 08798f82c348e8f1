"""Where the gradient through batch norm has no mean square."""

from __future__ import annotations

from normfield.theory.kernels.layer.centred import CentredCovariance

_DIVERGES = (
    "diverges: the mean square of the gradient through batch norm grows without bound as eps → 0, because the centred "
    "batch has rank {rank} (it needs 3 or more: four samples in three dimensions); give eps > 0"
)


def divergence(centred: CentredCovariance) -> str:
    """Why E[J Θ Jᵀ] is infinite, or an empty string: E 1/‖y‖² needs ε > 0 or three directions."""
    if centred.eps > 0 or centred.rank > 2:
        return ""
    return _DIVERGES.format(rank=centred.rank)
