"""Columns of a table, and where a curve over γ crosses another."""

from __future__ import annotations

import math

import numpy as np

from normfield.studies.frame import Row, Rows


def number(row: Row, column: str) -> float:
    """A cell as a number; a missing one is NaN."""
    value = row[column]
    return math.nan if value is None or isinstance(value, str) else float(value)


def column(rows: Rows, name: str) -> np.ndarray:
    """A column as numbers."""
    return np.array([number(row, name) for row in rows])


def where(rows: Rows, **wanted: object) -> list[Row]:
    """The rows whose cells are those."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def crossing(x: np.ndarray, ratio: np.ndarray) -> float:
    """Where a ratio rises through 1, by straight lines in log-log; NaN unless it does so once and never falls back."""
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.log(ratio)
    above = height > 0
    if not np.all(np.isfinite(height)) or above[0] or not above[-1] or np.any(np.diff(above.astype(int)) < 0):
        return math.nan
    k = int(np.argmax(above))
    share = -height[k - 1] / (height[k] - height[k - 1])
    return float(np.exp(np.log(x[k - 1]) + share * np.log(x[k] / x[k - 1])))


def value_at(x: np.ndarray, y: np.ndarray, place: float) -> float:
    """y at a place, by straight lines in log-log."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.interp(np.log(place), np.log(x), np.log(y))))


def furthest_from_one(ratios: np.ndarray) -> float:
    """The ratio whose logarithm is largest in modulus; NaN where one is not a positive number."""
    if ratios.size == 0 or not np.all(np.isfinite(ratios) & (ratios > 0)):
        return math.nan
    return float(ratios[np.argmax(np.abs(np.log(ratios)))])


def within_factor(ratio: float, factor: float) -> bool:
    """1/factor ≤ ratio ≤ factor; NaN never is."""
    return 1 / factor <= ratio <= factor


def times_off(ratio: float) -> str:
    """A ratio in words: "2.12 times too small", "2.3 % too large"."""
    if math.isnan(ratio):
        return "not comparable"
    factor, side = (ratio, "large") if ratio >= 1 else (1 / ratio, "small")
    return f"{100 * (factor - 1):.2g} % too {side}" if factor < 1.3 else f"{factor:.2f} times too {side}"
