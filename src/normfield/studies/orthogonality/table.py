"""The table of the study of orthogonality, and what is read from it."""

from __future__ import annotations

import math

import numpy as np

from normfield.studies.curves import column, where
from normfield.studies.frame import Rows

SCALED, NORMED, PLAIN = "the paper's, scale alone", "with centring", "none"
NORMALISERS = (SCALED, NORMED, PLAIN)
#: The share of layers, the last ones, over which a gap that has settled is averaged.
_SETTLED = 0.25


def widths(rows: Rows) -> list[int]:
    return [int(width) for width in np.unique(column(rows, "width"))]


def gaps(rows: Rows, normaliser: str, width: int) -> np.ndarray:
    """The gap at each layer (layers,)."""
    return column(where(rows, normaliser=normaliser, width=width), "gap")


def settled(rows: Rows, normaliser: str, width: int) -> float:
    """The mean gap of the last layers."""
    own = gaps(rows, normaliser, width)
    return float(own[-max(1, int(_SETTLED * len(own))) :].mean())


def floors(rows: Rows, normaliser: str) -> np.ndarray:
    """The settled gap at each width (widths,)."""
    return np.array([settled(rows, normaliser, width) for width in widths(rows)])


def centred_floor(samples: int) -> float:
    """1/√(n(n − 1)), the gap of n centred samples that are else as orthogonal as can be: all of G = 1 − 11ᵀ/n."""
    return 1 / math.sqrt(samples * (samples - 1))


def at_infinite_width(rows: Rows, normaliser: str) -> float:
    """The settled gap at infinite width, its square fitted by a + b/width; NaN where a < 0.

    Squares of gaps scatter in proportion to themselves, and weigh accordingly.
    """
    squares = floors(rows, normaliser) ** 2
    if not np.all(np.isfinite(squares) & (squares > 0)):
        return math.nan
    narrowness = np.stack([np.ones(len(squares)), 1 / np.array(widths(rows))], axis=1)
    found, *_ = np.linalg.lstsq(narrowness / squares[:, None], np.ones(len(squares)), rcond=None)
    return math.sqrt(found[0]) if found[0] >= 0 else math.nan
