"""What the study of noisy batch norm draws: training accuracy by step, and how far activations move."""

from __future__ import annotations

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, format_number, lines
from normfield.studies.curves import number
from normfield.studies.frame import Rows
from normfield.studies.noise_and_shift.table import (
    ACCURACY,
    DEVIATION_DRIFT,
    MEAN_DRIFT,
    NETWORKS,
    NOISY,
    NORMED,
    PLAIN,
    SHIFT,
    curves,
    ends,
    seeds,
    steps,
    typical,
)

_GUESSING = 10.0


def draw(rows: Rows) -> tuple[Figure, ...]:
    return _accuracy_figure(rows), _shift_figure(rows)


def _accuracy_figure(rows: Rows) -> Figure:
    noisy, normed, plain = (f"{ends(rows, network).mean():.0f}" for network in (NOISY, NORMED, PLAIN))
    return lines(
        _series(rows, ACCURACY, 100),
        "step of training",
        "training accuracy (%)",
        marks=[Mark(_GUESSING, "guessing", "y")],
        title=f"Noise after batch norm: {noisy} % right, against {normed} % without noise and {plain} % without "
        "batch norm",
        caption=_caption(rows),
    )


def _shift_figure(rows: Rows) -> Figure:
    noisy, normed, plain = (
        format_number(float(typical(rows, network, SHIFT).mean()), 2) for network in (NOISY, NORMED, PLAIN)
    )
    return lines(
        _series(rows, SHIFT, 1),
        "step of training",
        "shift of activations since the last look (standard deviations)",
        log_y=True,
        title=f"Activations move by {noisy} standard deviations with the noise, {normed} with batch norm, {plain} "
        "without",
        caption="Wasserstein-1 between the distributions of each activation's inputs now and one look earlier, in "
        f"standard deviations, mean over all. {_caption(rows)}",
    )


def _series(rows: Rows, name: str, unit: float) -> list[Series]:
    found = {network: unit * curves(rows, network, name) for network in NETWORKS}
    return [
        Series(network, steps(rows), np.mean(each, axis=0), low=each.min(axis=0), high=each.max(axis=0))
        for network, each in found.items()
    ]


def _caption(rows: Rows) -> str:
    return f"Lines: means over {len(seeds(rows))} runs; bands: from the least to the largest of them."


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("network"),
        Column("run"),
        Column("step"),
        Column("training accuracy", "%"),
        Column("shift", "standard deviations"),
        Column("drift of the mean", "standard deviations"),
        Column("drift of the standard deviation", "logarithm"),
    ]
    order = seeds(rows)
    body = [
        (
            row["network"],
            order.index(int(number(row, "seed"))) + 1,
            row["step"],
            100 * number(row, ACCURACY),
            row[SHIFT],
            row[MEAN_DRIFT],
            row[DEVIATION_DRIFT],
        )
        for row in rows
    ]
    notes = ("Runs of one number begin at the same weights and see the same batches.",)
    return Table("Accuracy and shift at each look", columns, body, notes)
