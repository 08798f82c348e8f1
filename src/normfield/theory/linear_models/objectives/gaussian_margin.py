"""The expected loss of a halfspace of Gaussian inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from normfield.theory.linear_models.gaussian_margins import expected_slopes, expected_value
from normfield.theory.linear_models.margin_loss import MarginLoss
from normfield.theory.linear_models.objectives.bisection import bisected_scale
from normfield.theory.linear_models.objectives.objective import HALVINGS, Pull

_DIFFERENCE = 1e-4  # relative


@dataclass(frozen=True, eq=False)
class GaussianMargin:
    """f(w̃) = Eφ(zᵀw̃) with z = −yx ~ N(u, S − uuᵀ), u = −g; ∇f = c₁u + c₂Sw̃ [Kohler]."""

    eigenvalues: np.ndarray
    correlation: np.ndarray
    loss: MarginLoss

    local_range = (1e-3, 1e-6)  # amplitudes, relative; f − f* is a difference and right to about 10⁻¹⁵

    @cached_property
    def minimiser(self) -> np.ndarray:
        """S⁻¹g at its best scale."""
        towards = self.correlation / self.eigenvalues
        unit = towards / np.sqrt(self.eigenvalues @ towards**2)
        return unit * self.best_scale(unit[:, None], HALVINGS).item()

    @cached_property
    def least(self) -> float:
        return self._value(self.minimiser[:, None]).item()

    @property
    def scale(self) -> float:
        return float(self.loss.value(0.0)) - self.least

    @cached_property
    def scale_curvature(self) -> float:
        """∂²f/∂a² at the minimum, by a central difference of ∂f/∂a."""
        best = math.sqrt(self.eigenvalues @ self.minimiser**2)
        unit = (self.minimiser / best)[:, None]
        ends = best * np.array([1 - _DIFFERENCE, 1 + _DIFFERENCE])
        below, above = np.einsum("di,dn->n", unit, self.pull(unit * ends).gradient)
        return float(above - below) / (2 * _DIFFERENCE * best)

    def pull(self, points: np.ndarray) -> Pull:
        mean, deviation = self._margins(points)
        expected = expected_slopes(self.loss, mean, deviation)
        slope = expected.slope - expected.bend * mean
        gradient = expected.bend * (self.eigenvalues[:, None] * points)
        gradient -= slope * self.correlation[:, None]
        return Pull(gradient, slope)

    def excess(self, points: np.ndarray) -> np.ndarray:
        return self._value(points) - self.least

    def best_scale(self, directions: np.ndarray, halvings: int) -> np.ndarray:
        return bisected_scale(self, directions, halvings)

    def _value(self, points: np.ndarray) -> np.ndarray:
        return expected_value(self.loss, *self._margins(points))

    def _margins(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (n,) of zᵀw̃."""
        mean = -(self.correlation @ points)
        return mean, np.sqrt(np.maximum(self.eigenvalues @ np.square(points) - mean**2, 0.0))
