"""The table of kernels beside measurements: its words, its parts, and predictions over measurements."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import column, number, where
from normfield.studies.frame import Row, Rows
from normfield.studies.power_laws import PowerLaw, power_law

DATA = {
    "normal": "i.i.d. normal inputs",
    "digits": "digits",
    "mnist": "MNIST",
    "digits, by pixel": "digits, each pixel standardised",
    "mnist, by pixel": "MNIST, each pixel standardised",
}
READINGS = {
    "published": "mean field, as published (Wei et al.)",
    "frozen": "mean field, frozen statistics",
    "batch": "mean field, training mode",
    "kernel": "kernel of the batch",
}


def _is_hard(row: Row) -> bool:
    return "by pixel" in str(row["data"])


def at_full_width(rows: Rows) -> list[Row]:
    """Data standardised with one mean and one deviation, at the full width."""
    width = max(number(row, "width") for row in rows)
    return [row for row in rows if number(row, "width") == width and not _is_hard(row)]


def hard_case(rows: Rows) -> list[Row]:
    """Data standardised pixel by pixel."""
    return [row for row in rows if _is_hard(row)]


def width_trend(rows: Rows) -> list[Row]:
    """One network at every width, narrowest first."""
    narrow = next(row for row in rows if number(row, "width") < max(column(rows, "width")))
    same = where(rows, **{name: narrow[name] for name in ("data", "depth", "gamma")})
    return sorted(same, key=lambda row: number(row, "width"))


def ratio(rows: Rows, reading: str = "kernel", measured: str = "measured_mean") -> np.ndarray:
    """Prediction over measurement."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return column(rows, reading) / column(rows, measured)


def shortfall(rows: Rows, measured: str) -> PowerLaw:
    """How far the measured λ is from the kernel's, relative to it, as a power of the width."""
    distance = np.abs(column(rows, measured) / column(rows, "kernel") - 1)
    return power_law(column(rows, "width"), distance)


def capital(words: str) -> str:
    """The words as a sentence begins."""
    return words[0].upper() + words[1:]


def in_words(ratios: np.ndarray) -> str:
    """The least and the largest, one number where they are the same."""
    least, largest = f"{ratios.min():.3f}", f"{ratios.max():.3f}"
    return least if least == largest else f"{least} to {largest}"
