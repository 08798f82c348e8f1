"""The table of the study of residual branches: whose rows they are, and what infinite width expects of them."""

from __future__ import annotations

import math

import numpy as np

from normfield.studies.curves import column, where
from normfield.studies.frame import Rows

LINEAR, RELU, CONVOLUTIONS = "fully connected, linear", "fully connected, ReLU", "convolutions, ReLU"
FAMILIES = (LINEAR, RELU, CONVOLUTIONS)
NORMED, PLAIN = "with batch norm", "without"


def spread_theory(family: str, blocks: np.ndarray) -> np.ndarray:
    """Variance over the batch of a branch with batch norm, over that of its skip connection, at infinite width.

    Branches have b = σ_w² Var φ(z), z ~ N(0, 1), the stem 1, so that in block l the ratio is b/(1 + (l − 1)b). Of
    fully connected networks on independent inputs, whose pre-activations are normal.
    """
    branch = 1.0 if family == LINEAR else 1 - 1 / math.pi
    return branch / (1 + branch * (blocks - 1))


def own_rows(rows: Rows, family: str, network: str) -> Rows:
    return where(rows, family=family, network=network)


def ratio(rows: Rows) -> np.ndarray:
    """Branch over skip (rows,)."""
    return column(rows, "branch") / column(rows, "skip")
