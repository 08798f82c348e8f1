"""What a method of descent may ask of a linear model's loss."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

#: Of Kohler's bisection, unless told otherwise: as many as float64 can tell apart.
HALVINGS = 60


class Pull(NamedTuple):
    """Where the loss falls at points given as columns (d, n).

    ``gradient`` is ∇f (d, n). ``slope`` is c₁, (n,) or a number: for Gaussian inputs ∇f = c₁u + c₂Sw̃ [Kohler].
    """

    gradient: np.ndarray
    slope: np.ndarray | float


class Local(NamedTuple):
    """f about its minimum, as far as it is known in closed form; NaN where it is not.

    ``curvature`` (d,), rising: eigenvalues of ∇²f. ``projected`` (d − 1,), rising: those of S* of
    `Spectrum.projected`, by which directions contract. ``scale_curvature``: ∂²f/∂a² of the scale.
    """

    curvature: np.ndarray
    projected: np.ndarray
    scale_curvature: float


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

    @property
    def local_range(self) -> tuple[float, float]:
        """Between which √((f − f*)/scale) is small enough to be local, and large enough to be right."""
        ...

    def pull(self, points: np.ndarray) -> Pull:
        """Gradient and slope."""
        ...

    def excess(self, points: np.ndarray) -> np.ndarray:
        """f − f* (n,)."""
        ...

    def best_scale(self, directions: np.ndarray, halvings: int) -> np.ndarray:
        """The a (n,) that makes f(a·w/‖w‖_S) least, of unit directions w/‖w‖_S as columns (d, n).

        Where there is no closed form it is bisected, in so many ``halvings``.
        """
        ...
