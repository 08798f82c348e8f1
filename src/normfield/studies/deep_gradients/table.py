"""The table of the study of deep gradients: which networks there are, and what is read from their rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.growth import growth_through
from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows
from normfield.studies.network_kinds import BOTH, NORMED, PLAIN, Kind


@dataclass(frozen=True)
class Drawn:
    """A network of the study: its name in the table, its kind, and σ_w²."""

    name: str
    kind: Kind
    weight_variance: float


BARE = Drawn("without batch norm", PLAIN, 1.0)
BARE_HE = Drawn("without batch norm, He's variance", PLAIN, 2.0)
WITH_NORM = Drawn("batch norm", NORMED, 1.0)
WITH_BOTH = Drawn("batch norm and skip connections", BOTH, 1.0)
RELU, TANH = "relu", "tanh"
#: He's initial variance is made for ReLU.
NETWORKS = {RELU: (BARE, BARE_HE, WITH_NORM, WITH_BOTH), TANH: (BARE, WITH_NORM, WITH_BOTH)}
WORDS = {RELU: "ReLU", TANH: "tanh"}


def network_named(name: object) -> Drawn:
    return next(one for one in NETWORKS[RELU] if one.name == name)


def own_rows(rows: Rows, activation: str, network: Drawn) -> Rows:
    return where(rows, activation=activation, network=network.name)


def growth(own: Rows) -> float:
    """By what the gradient's norm is multiplied per layer going backwards; NaN where it cannot be fitted."""
    fitted = growth_through([number(row, "gradient") for row in reversed(own)])
    return float("nan") if fitted is None else fitted.factor


def relative(own: Rows) -> np.ndarray:
    """The gradient's norm at each layer over that of the last of them."""
    gradients = column(own, "gradient")
    return gradients / gradients[-1]


def span(own: Rows) -> float:
    """log₁₀ of the largest over the smallest norm."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.ptp(np.log10(column(own, "gradient"))))


def off_theory(own: Rows) -> float:
    """Measured over predicted, both relative to the last layer's, where they are furthest apart."""
    over = relative(own) / column(own, "theory")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(over[np.argmax(np.abs(np.log(over)))])
