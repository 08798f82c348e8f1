"""What the recursion knows of a batch at one place of an infinitely wide network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace

from normfield.network import Shape

Law = Literal["data", "gaussian", "other"]
"""How one unit's values over the batch are distributed: given, jointly Gaussian, or anything else."""


@dataclass(frozen=True, eq=False)
class Signal:
    """Second moments of one unit over the batch's n = samples × positions values, the mean over all units.

    Attributes
    ----------
    nngp : array
        K (n, n): E[z zᵀ], not centred; rows in the order sample, height, width.
    ntk : array
        Θ (n, n): ∂z·∂zᵀ summed over the parameters before this place.
    mean : array
        E[z] (n,); zero behind an affine layer.
    law : str
    shape : tuple of int
        Of one sample: (units,) or (channels, height, width).
    samples : int
        B.
    """

    nngp: Any
    ntk: Any
    mean: Any
    law: Law
    shape: Shape
    samples: int

    @property
    def positions(self) -> tuple[int, ...]:
        """(height, width) of an image, () of features."""
        return self.shape[1:]

    @property
    def features(self) -> int:
        """All numbers of one sample."""
        return math.prod(self.shape)


def of_data(x: Any, shape: Shape) -> Signal:
    """The batch itself: K = XXᵀ/N₀ over features, or over channels between all positions; no parameters before it.

    Parameters
    ----------
    x : array
        (B, *shape).
    shape : tuple of int
        (features,) or (channels, height, width).
    """
    xp = array_namespace(x)
    if len(shape) == 3:
        x = xp.permute_dims(x, (0, 2, 3, 1))
    rows = xp.reshape(x, (-1, shape[0]))
    nngp = rows @ rows.T / shape[0]
    nothing = xp.zeros(nngp.shape, dtype=nngp.dtype, device=nngp.device)
    return Signal(nngp, nothing, xp.mean(rows, axis=1), "data", shape, x.shape[0])
