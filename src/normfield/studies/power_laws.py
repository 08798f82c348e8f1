"""A power law through points, by least squares in log-log."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PowerLaw:
    """y = factor·x^exponent.

    Attributes
    ----------
    exponent, error
        The fitted one, and its standard error from the points' scatter about the law; NaN unless all are positive.
    factor
        y at x = 1.
    values
        The points' y.
    last_exponent
        Of the law through the last two points.
    """

    exponent: float
    error: float
    factor: float
    values: tuple[float, ...]
    last_exponent: float

    def at(self, x: float) -> float:
        """y of the law at x."""
        return self.factor * x**self.exponent


def power_law(x: np.ndarray, y: np.ndarray) -> PowerLaw:
    """Fit ln y = ln factor + exponent·ln x, every point alike.

    Parameters
    ----------
    x, y : array
        At least three points (n,).
    """
    values = tuple(float(value) for value in y)
    if not np.all(np.isfinite(y) & (y > 0)):
        return PowerLaw(math.nan, math.nan, math.nan, values, math.nan)
    along, up = np.log(x) - np.log(x).mean(), np.log(y)
    exponent = float(along @ up / (along @ along))
    scatter = up - up.mean() - exponent * along
    error = math.sqrt(float(scatter @ scatter) / (len(x) - 2) / float(along @ along))
    factor = math.exp(float(up.mean()) - exponent * float(np.log(x).mean()))
    last = (up[-1] - up[-2]) / (along[-1] - along[-2])
    return PowerLaw(exponent, error, factor, values, float(last))
