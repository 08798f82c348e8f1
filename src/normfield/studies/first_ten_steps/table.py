"""The table of the study of first steps, and what is read from it."""

from __future__ import annotations

import math

import numpy as np

from normfield.growth import growth_through
from normfield.studies.curves import column, number
from normfield.studies.frame import Rows

WEIGHT, GRADIENT, WEIGHT_GRADIENT = "weight", "gradient", "weight_gradient"


def depths(rows: Rows) -> list[int]:
    return [int(one) for one in np.unique(column(rows, "depth"))]


def rates(rows: Rows) -> list[float]:
    return [float(one) for one in np.unique(column(rows, "learning_rate"))]


def steps(rows: Rows) -> list[int]:
    return [int(one) for one in np.unique(column(rows, "step"))]


def at(rows: Rows, depth: int, rate: float, step: int) -> Rows:
    """The layers of one network after so many steps."""
    return [
        row for row in rows if row["step"] == step and row["learning_rate"] == rate and row["depth"] == depth
    ]


def decades(own: Rows, name: str) -> float:
    """log₁₀ of the largest over the smallest norm of the layers."""
    values = column(own, name)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.ptp(np.log10(values)))


def left(rows: Rows, depth: int, rate: float, step: int, name: str = WEIGHT_GRADIENT) -> float:
    """Decades that gradients span after so many steps, over those at the start."""
    after, start = (decades(at(rows, depth, rate, one), name) for one in (step, 0))
    return after / start if start > 0 else math.nan


def squared_growth(own: Rows) -> float:
    """By what the squared gradient grows per layer, going backwards; NaN where it cannot be fitted."""
    fitted = growth_through([number(row, GRADIENT) for row in reversed(own)])
    return float("nan") if fitted is None else fitted.factor**2


def first_step(rows: Rows, depth: int, rate: float) -> float:
    """η‖∇W‖/‖W‖ at the start, of the layer where it is largest."""
    own = at(rows, depth, rate, 0)
    return float(np.max(rate * column(own, WEIGHT_GRADIENT) / column(own, WEIGHT)))
