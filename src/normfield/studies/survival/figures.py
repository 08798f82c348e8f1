"""What the study of learning rates draws: accuracy and loss by epoch, a colour for each learning rate."""

from __future__ import annotations

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, lines
from normfield.studies.curves import number, where
from normfield.studies.frame import Rows
from normfield.studies.survival.table import (
    CLASSES,
    GUESSING,
    LOSS,
    NORMED,
    PLAIN,
    TEST,
    accuracy,
    by_epoch,
    last,
    rates,
)


def draw(rows: Rows) -> tuple[Figure, ...]:
    return _accuracy_figure(rows), _loss_figure(rows)


def _accuracy_figure(rows: Rows) -> Figure:
    large = rates(rows)[-1]
    return _figure(
        rows,
        TEST,
        1,
        100,
        "test accuracy (%)",
        f"At the learning rate {large:g} the network gets {accuracy(rows, NORMED, large):.0f} % right with batch norm, "
        f"{accuracy(rows, PLAIN, large):.0f} % without",
        marks=[Mark(100 / CLASSES, "guessing", "y")],
    )


def _loss_figure(rows: Rows) -> Figure:
    large = rates(rows)[-1]
    normed, plain = (float(last(rows, network, large, LOSS).mean()) for network in (NORMED, PLAIN))
    return _figure(
        rows,
        LOSS,
        0,
        1,
        "training loss",
        f"At {large:g} the training loss ends at {normed:.2f} with batch norm, at {plain:.2f} without",
        marks=[Mark(GUESSING, "guessing", "y")],
    )


def _figure(
    rows: Rows, kind: str, first: int, unit: float, y_title: str, title: str, marks: list[Mark]
) -> Figure:
    """Curves by epoch: a colour for each learning rate, dashed without batch norm."""
    series = []
    for rate in rates(rows):
        for network, style in ((NORMED, "line"), (PLAIN, "dashed")):
            curves = unit * by_epoch(where(rows, network=network, learning_rate=rate), kind)
            series.append(
                Series(
                    f"{network}, η = {rate:g}",
                    np.arange(first, first + curves.shape[1]),
                    curves.mean(axis=0),
                    style,  # type: ignore[arg-type]
                    group=f"η = {rate:g}",
                )
            )
    runs = len({row["seed"] for row in rows})
    return lines(
        series,
        "epoch",
        y_title,
        marks=marks,
        title=title,
        caption=f"Lines: with batch norm; dashed: without. Means over {runs} runs, which begin at the same weights; "
        "one that diverged counts as guessing from then on.",
    )


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("network"),
        Column("learning rate"),
        Column("run"),
        Column("diverged"),
        Column("largest loss of a step over the first"),
        Column("training loss, start"),
        Column("training loss, end"),
        Column("test accuracy, end", "%"),
    ]
    seeds = sorted({number(row, "seed") for row in rows})
    body = [
        (
            row["network"],
            row["learning_rate"],
            seeds.index(number(row, "seed")) + 1,
            "yes" if number(row, "diverged") else "no",
            row["trained_peak"],
            *(float(value) for value in by_epoch([row], LOSS)[0, [0, -1]]),
            100 * float(by_epoch([row], TEST)[0, -1]),
        )
        for row in rows
    ]
    notes = (f"Guessing one of ten classes has loss {GUESSING:.2f} and 10 % right.",)
    return Table("Each run", columns, body, notes)
