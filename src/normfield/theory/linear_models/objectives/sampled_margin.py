"""The mean loss of a halfspace over samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.theory.linear_models.margin_loss import MarginLoss
from normfield.theory.linear_models.objectives.bisection import bisected_scale
from normfield.theory.linear_models.objectives.objective import Pull


@dataclass(frozen=True, eq=False)
class SampledMargin:
    """f(w̃) = (1/n)Σφ(zᵀw̃) over z = −yx, rows of ``samples`` (n, d) in the coordinates of S."""

    eigenvalues: np.ndarray
    correlation: np.ndarray
    loss: MarginLoss
    samples: np.ndarray
    least: float

    local_range = (1e-3, 1e-6)

    @property
    def scale(self) -> float:
        return float(self.loss.value(0.0)) - self.least

    def pull(self, points: np.ndarray) -> Pull:
        margins = self.samples @ points
        slopes = self.loss.slope(margins)
        bend = self.loss.sharpness * np.mean(slopes * (1 - slopes), axis=0)
        slope = slopes.mean(axis=0) + bend * (self.correlation @ points)
        return Pull(self.samples.T @ slopes / len(self.samples), slope)

    def excess(self, points: np.ndarray) -> np.ndarray:
        return self.loss.value(self.samples @ points).mean(axis=0) - self.least

    def best_scale(self, directions: np.ndarray, halvings: int) -> np.ndarray:
        return bisected_scale(self, directions, halvings)
