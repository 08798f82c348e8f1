"""What every problem of a linear model offers to a descent."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from normfield.theory.linear_models.objectives.objective import Local, Objective
from normfield.theory.linear_models.spectrum import Spectrum


@runtime_checkable
class Problem(Protocol):
    """A loss of linear predictors with the second moment S of the inputs and g = E[yx]."""

    @property
    def correlation(self) -> np.ndarray:
        """g (d,)."""
        ...

    @property
    def least_loss(self) -> float:
        """f*, the smallest loss."""
        ...

    @property
    def spectrum(self) -> Spectrum:
        """S by eigenvalues and eigenvectors."""
        ...

    @property
    def objective(self) -> Objective:
        """f − f* in the coordinates of the eigenvectors."""
        ...

    @property
    def local(self) -> Local:
        """f about its minimum, as far as it is known."""
        ...

    @property
    def caveat(self) -> str:
        """Which assumption of the theorems it does not meet, and by how much; "" where it meets them all."""
        ...
