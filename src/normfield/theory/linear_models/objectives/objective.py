"""What a method of descent may ask of a linear model's loss."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class Pull(NamedTuple):
    """Where the loss falls at points given as columns (d, n).

    ``gradient`` is ∇f (d, n). ``slope`` is c₁, (n,) or a number: for Gaussian inputs ∇f = c₁u + c₂Sw̃ [Kohler].
    """

    gradient: np.ndarray
    slope: np.ndarray | float


class Objective(Protocol):
    """f(w̃) over linear predictors w̃, in coordinates in which S = E[xxᵀ] is diagonal; points are columns (d, n)."""

    @property
    def eigenvalues(self) -> np.ndarray:
        """λ (d,) of S."""
        ...

    @property
    def correlation(self) -> np.ndarray:
        """g = E[yx] (d,), which is −u of [Kohler]."""
        ...

    @property
    def scale(self) -> float:
        """f(0) − f*, to which tolerances are relative."""
        ...

    def pull(self, points: np.ndarray) -> Pull:
        """Gradient and slope."""
        ...

    def excess(self, points: np.ndarray) -> np.ndarray:
        """f − f* (n,)."""
        ...

    def best_scale(self, directions: np.ndarray) -> np.ndarray:
        """The a (n,) that makes f(a·w/‖w‖_S) least, of unit directions w/‖w‖_S as columns (d, n)."""
        ...
