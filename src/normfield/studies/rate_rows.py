"""Tables with a simulated rate beside the theory's: names of activations, distances, and the depth that follows."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import column
from normfield.studies.frame import Rows

#: Points of a drawn line.
FINE = 200

_WORDS = {"relu": "ReLU", "gelu": "GELU", "linear": "identity"}


def activation_words(name: object) -> str:
    """An activation's name for readers."""
    return _WORDS.get(str(name), str(name))


def activations(rows: Rows) -> list[str]:
    """The table's activations in its order."""
    return list(dict.fromkeys(str(row["activation"]) for row in rows))


def ratio(rows: Rows) -> np.ndarray:
    """Simulated over theory (rows,)."""
    return column(rows, "simulated") / column(rows, "theory")


def relative_error(rows: Rows) -> np.ndarray:
    """One standard error over theory (rows,)."""
    return column(rows, "error") / column(rows, "theory")


def off_theory(rows: Rows) -> np.ndarray:
    """Relative distance to theory, two standard errors counted against it (rows,)."""
    return np.abs(ratio(rows) - 1) + 2 * relative_error(rows)


def furthest_in_percent(rows: Rows) -> str:
    """How far simulation is from theory where it is furthest, in words."""
    return f"{100 * np.max(np.abs(ratio(rows) - 1), initial=0):.2g} %"


def trainable_depth(rate: np.ndarray) -> np.ndarray:
    """16ξ, ξ = 1/ln λ_G; NaN, a gap, where gradients do not grow."""
    return np.where(rate > 1, 16 / np.log(np.where(rate > 1, rate, 2.0)), np.nan)
