"""A factor per layer, from a straight line through logarithms: of what is measured and of what is predicted alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Growth:
    """A factor per layer, from a straight line through logarithms.

    Attributes
    ----------
    factor
        By what the quantity is multiplied from one layer to the next.
    error
        Standard error of ln factor, which for small values is the factor's relative error; None below three layers.
        It holds for layers that multiply what came before by random factors, so that logarithms wander from the line
        (a random walk), as for ones that scatter about it, and is on the safe side for the latter.
    layers
        Through how many layers the line was drawn.
    """

    factor: float
    error: float | None
    layers: int

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.factor * self.error:.1g}"
        return f"{self.factor:.3g}{error} per layer, over {self.layers} layers"


def growth_through(values: Sequence[float]) -> Growth | None:
    """Least squares of ln value against the layer's number; None where a value is not positive and finite."""
    if len(values) < 2 or not all(0 < value < math.inf for value in values):
        return None
    x, y = np.arange(len(values)) - (len(values) - 1) / 2, np.log(values)
    slope = float(x @ y / (x @ x))
    error = _slope_error(x, y - y.mean() - slope * x) if len(values) > 2 else None
    return Growth(math.exp(slope), error, len(values))


def _slope_error(x: np.ndarray, left: np.ndarray) -> float:
    """Of the slope Σxy/Σx², from what is left of y.

    With y a random walk of steps of variance w and noise of variance n on top, the slope has the variance
    (n·Σx² + w·Σ_k(Σ_{l>k} x_l)²)/(Σx²)²; neither alone gives less than independent residuals would.
    """
    spread = x @ x
    noise, step = _noise_and_step(np.diff(left))
    beyond = np.cumsum(x[::-1])[-2::-1]
    independent = left @ left / (len(x) - 2) / spread
    return math.sqrt(max(independent, (noise * spread + step * (beyond @ beyond)) / spread**2))


def _noise_and_step(steps: np.ndarray) -> tuple[float, float]:
    """(n, w) of steps with variance w + 2n and covariance −n between neighbours, freed of their mean's share."""
    count = len(steps)
    variance = float(steps @ steps) / (count - 1)
    neighbours = float(steps[:-1] @ steps[1:]) / (count - 1) + variance / count if count > 2 else 0.0
    noise = min(max(-neighbours, 0.0), variance / 2)
    return noise, variance - 2 * noise
