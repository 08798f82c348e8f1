"""What the study of first steps draws: gradients and weights by layer, and what is left of the explosion."""

from __future__ import annotations

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, lines
from normfield.studies.curves import column
from normfield.studies.first_ten_steps.checks import GONE
from normfield.studies.first_ten_steps.table import (
    GRADIENT,
    WEIGHT,
    WEIGHT_GRADIENT,
    at,
    decades,
    depths,
    first_step,
    left,
    rates,
    steps,
)
from normfield.studies.frame import Rows

#: Steps whose layers are drawn.
_SHOWN = (0, 1, 2, 5, 10)


def draw(rows: Rows) -> tuple[Figure, ...]:
    return (
        _layer_figure(rows, WEIGHT_GRADIENT, "‖∂ℓ/∂W‖ of the layer", "gradients of the weights"),
        _layer_figure(rows, WEIGHT, "‖W‖ of the layer", "norms of the weights"),
        _layer_figure(rows, GRADIENT, "‖∂ℓ/∂z‖ of the layer's outputs z", "gradients of the signal"),
        _step_figure(rows),
        _size_figure(rows),
    )


def _layer_figure(rows: Rows, name: str, y_title: str, words: str) -> Figure:
    depth, rate = depths(rows)[-1], rates(rows)[-1]
    shown = [step for step in _SHOWN if step in steps(rows)]
    series = [
        Series(f"step {step}", column(own, "layer"), column(own, name))
        for step in shown
        for own in (at(rows, depth, rate, step),)
    ]
    before, after = (decades(at(rows, depth, rate, step), name) for step in (0, 1))
    return lines(
        series,
        "layer, counted from the input",
        y_title,
        log_y=True,
        title=f"Over the layers {words} span {before:.1f} decades at the start, {after:.1f} after one step",
        caption=f"{depth} layers with ReLU and batch norm, η = {rate:g}. Geometric means over networks; the first and "
        "the last layer left out.",
    )


def _step_figure(rows: Rows) -> Figure:
    depth = depths(rows)[-1]
    series = [
        Series(
            f"η = {rate:g}",
            steps(rows),
            [decades(at(rows, depth, rate, step), WEIGHT_GRADIENT) for step in steps(rows)],
        )
        for rate in rates(rows)
    ]
    small, large = rates(rows)[0], rates(rows)[-1]
    start, after_large, after_small = (
        decades(at(rows, depth, rate, step), WEIGHT_GRADIENT)
        for rate, step in ((large, 0), (large, 1), (small, 1))
    )
    return lines(
        series,
        "step of training",
        "decades that ‖∂ℓ/∂W‖ spans over the layers",
        title=f"At η = {large:g} one step takes the explosion from {start:.1f} decades to {after_large:.1f}, at "
        f"η = {small:g} to {after_small:.1f}",
        caption=f"{depth} layers. log₁₀ of the largest over the smallest norm.",
    )


def _size_figure(rows: Rows) -> Figure:
    series = [
        Series(
            f"{depth} layers",
            [first_step(rows, depth, rate) for rate in rates(rows)],
            [100 * left(rows, depth, rate, 1) for rate in rates(rows)],
            "markers",
        )
        for depth in depths(rows)
    ]
    gone = [
        first_step(rows, depth, rate)
        for depth in depths(rows)
        for rate in rates(rows)
        if left(rows, depth, rate, 1) <= GONE
    ]
    found = f"steps of {min(gone):.2g} times the weights or more" if gone else "none of these steps"
    return lines(
        series,
        "size of the first step, η‖∂ℓ/∂W‖/‖W‖ where largest",
        "explosion left after one step (%)",
        log_x=True,
        marks=[Mark(1.0, "as large as the weights"), Mark(100 * GONE, "half", "y")],
        title=f"What takes half of the explosion away at once: {found}",
        caption="Decades that gradients span over the layers after one step, over those before. A point for each "
        "learning rate.",
    )


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("layers"),
        Column("learning rate"),
        Column("step"),
        Column("decades of ‖∂ℓ/∂z‖"),
        Column("decades of ‖∂ℓ/∂W‖"),
        Column("decades of ‖W‖"),
    ]
    body = [
        (depth, rate, step, *(decades(own, name) for name in (GRADIENT, WEIGHT_GRADIENT, WEIGHT)))
        for depth in depths(rows)
        for rate in rates(rows)
        for step in steps(rows)
        for own in (at(rows, depth, rate, step),)
    ]
    shown = [tuple(value if np.isfinite(value) else None for value in line) for line in body]
    notes = ("log₁₀ of the largest over the smallest norm, over the layers but the first and the last.",)
    return Table("How far apart the layers are, step by step", columns, shown, notes)
