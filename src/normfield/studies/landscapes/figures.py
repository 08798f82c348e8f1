"""What the studies of landscapes draw: the loss's range along the gradient, predictiveness and smoothness, by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, format_number, lines
from normfield.studies.curves import number
from normfield.studies.frame import Rows
from normfield.studies.landscapes.table import (
    CHANGE,
    GRADIENT,
    HIGH,
    LOSS,
    LOW,
    NORMED,
    PLAIN,
    RANGE,
    SMOOTHNESS,
    curve,
    curves,
    edge,
    middles,
    seeds,
    steps,
)

_NETWORKS = (NORMED, PLAIN)


def draw(rows: Rows) -> tuple[Figure, ...]:
    return (
        _range_figure(rows),
        _figure(
            rows,
            CHANGE,
            "furthest change of the gradient, ‖g − g′‖",
            "Along it the gradient changes by up to",
        ),
        _figure(
            rows,
            SMOOTHNESS,
            "effective smoothness, ‖g − g′‖/(a‖g‖)",
            "The effective smoothness is",
            (Mark(edge(rows), "2/η, edge of stability", "y"),),
        ),
    )


def _range_figure(rows: Rows) -> Figure:
    """Bands of the first pair of runs."""
    first, x = seeds(rows)[0], steps(rows)
    series = [
        Series(
            network,
            x,
            curve(rows, network, first, LOSS),
            low=curve(rows, network, first, LOW),
            high=curve(rows, network, first, HIGH),
        )
        for network in _NETWORKS
    ]
    return lines(
        series,
        "step of training",
        "loss along the gradient",
        log_y=_is_wide(rows, HIGH),
        title=f"Along the gradient the loss spans {_both(rows, RANGE)}",
        caption="Bands: from the least to the largest loss along the gradient; lines: the loss before the step. The "
        "first pair of runs; the title gives medians over training and runs.",
    )


def _figure(rows: Rows, name: str, y_title: str, words: str, marks: Sequence[Mark] = ()) -> Figure:
    """The median over runs as a line, all runs as a band."""
    series = []
    for network in _NETWORKS:
        found = curves(rows, network, name)
        series.append(
            Series(
                network, steps(rows), np.median(found, axis=0), low=found.min(axis=0), high=found.max(axis=0)
            )
        )
    return lines(
        series,
        "step of training",
        y_title,
        log_y=_is_wide(rows, name),
        marks=marks,
        title=f"{words} {_both(rows, name)}",
        caption=f"Lines: medians over {len(seeds(rows))} runs; bands: from the least to the largest of the runs. "
        "The title gives medians over training and runs.",
    )


def _is_wide(rows: Rows, name: str) -> bool:
    """Whether values reach over more than a decade."""
    found = np.concatenate([curves(rows, network, name).ravel() for network in _NETWORKS])
    known = found[np.isfinite(found) & (found > 0)]
    return len(known) > 0 and bool(known.max() > 10 * known.min())


def _both(rows: Rows, name: str) -> str:
    normed, plain = (
        format_number(float(np.median(middles(rows, network, name))), 2) for network in _NETWORKS
    )
    return f"{normed} with batch norm, {plain} without"


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("network"),
        Column("run"),
        Column("step"),
        Column("loss"),
        Column("gradient, norm"),
        Column("least loss along the gradient"),
        Column("largest"),
        Column("furthest change of the gradient"),
        Column("effective smoothness"),
    ]
    order = seeds(rows)
    names = (LOSS, GRADIENT, LOW, HIGH, CHANGE, SMOOTHNESS)
    body = [
        (
            row["network"],
            order.index(int(number(row, "seed"))) + 1,
            row["step"],
            *(row[name] for name in names),
        )
        for row in rows
    ]
    notes = (
        "Runs of one number begin at the same weights and see the same batches with batch norm and without.",
    )
    return Table("The landscape at each step looked at", columns, body, notes)
