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
    left = y - y.mean() - slope * x
    error = math.sqrt(left @ left / (len(values) - 2) / (x @ x)) if len(values) > 2 else None
    return Growth(math.exp(slope), error, len(values))
