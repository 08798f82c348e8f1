"""Half the mean squared error of a linear predictor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from normfield.theory.linear_models.objectives.objective import Pull


@dataclass(frozen=True, eq=False)
class Quadratic:
    """f(w̃) = f* + ½(w̃ − u)ᵀS(w̃ − u), u = S⁻¹g."""

    eigenvalues: np.ndarray
    correlation: np.ndarray

    local_range = (1e-8, 1e-13)

    @cached_property
    def minimiser(self) -> np.ndarray:
        return self.correlation / self.eigenvalues

    @property
    def scale(self) -> float:
        return float(self.correlation @ self.minimiser) / 2

    def pull(self, points: np.ndarray) -> Pull:
        return Pull(self.eigenvalues[:, None] * points - self.correlation[:, None], 1.0)

    def excess(self, points: np.ndarray) -> np.ndarray:
        """From the distance to u, so that it is right far below the round-off of f itself."""
        off = points - self.minimiser[:, None]
        return self.eigenvalues @ np.square(off, out=off) / 2

    def best_scale(self, directions: np.ndarray, halvings: int) -> np.ndarray:
        """wᵀg, exactly."""
        return self.correlation @ directions
