"""Gradients against depth as a figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from normfield.report import Figure, Mark, Series, lines

if TYPE_CHECKING:
    from normfield.theory.depth.limits_result import DepthLimits


def growth_figure(limits: DepthLimits, depth: int) -> Figure:
    """Squared gradient norm of each layer over that of the last, plain and with residual blocks."""
    layers = np.arange(1, depth + 1)
    series = [Series("plain network", layers, limits.gradient_growth(depth - layers))]
    if math.isfinite(limits.residual_exponent):
        grown = limits.residual_gradient_growth(depth, layers)
        series.append(Series("blocks x + Wφ(BN(x))", layers, grown, style="dashed"))
    edge = depth - limits.trainable_depth
    marks = [Mark(edge, "about the deepest that trains")] if 1 < edge < depth else []
    return lines(
        series,
        "layer",
        "squared gradient norm over that of the last layer",
        log_y=True,
        marks=marks,
        title="Gradients against depth",
    )
