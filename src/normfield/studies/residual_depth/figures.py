"""What the study of residual depth draws: accuracy by depth, at the best learning rate and at each."""

from __future__ import annotations

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, lines
from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows
from normfield.studies.network_kinds import BOTH, CLASSES, KINDS, NORMED
from normfield.studies.rate_rows import trainable_depth
from normfield.studies.residual_depth.table import accuracies, best, best_rate, depths


def draw(rows: Rows) -> tuple[Figure, ...]:
    return _depth_figure(rows), _rate_figure(rows)


def _depth_figure(rows: Rows) -> Figure:
    deepest, limit = depths(rows)[-1], float(trainable_depth(column(rows[:1], "theory_rate"))[0])
    others = _best_of_the_others(rows, deepest)
    return lines(
        [
            Series(kind.name, depths(rows), [best(rows, kind.name, depth) for depth in depths(rows)])
            for kind in KINDS[::-1]
        ],
        "depth (layers)",
        "test accuracy (%)",
        log_x=True,
        marks=[Mark(100 / CLASSES, "guessing", "y"), Mark(limit, "16ξ of batch norm alone")],
        title=f"At {deepest} layers batch norm with skip connections gets {best(rows, BOTH.name, deepest):.0f} % "
        f"right, anything less {others:.0f} % at most",
        caption="At the best of the learning rates for each; means over runs. 16ξ: theory's limit without skip "
        "connections, nothing fitted.",
    )


def _rate_figure(rows: Rows) -> Figure:
    deepest = depths(rows)[-1]
    rates = np.unique(column(rows, "learning_rate"))
    shown, others = best_rate(rows, BOTH.name, deepest), _best_of_the_others(rows, deepest)
    return lines(
        [Series(kind.name, rates, accuracies(rows, kind.name, deepest)) for kind in KINDS[::-1]],
        "learning rate η",
        "test accuracy (%)",
        log_x=True,
        marks=[Mark(100 / CLASSES, "guessing", "y")],
        title=f"With {deepest} layers both together do best at η = {shown:g}; anything less gets {others:.0f} % at "
        f"most at any of {len(rates)} learning rates",
        caption="Means over runs; one that diverged counts as guessing.",
    )


def _best_of_the_others(rows: Rows, depth: int) -> float:
    """Test accuracy (%) at that depth without batch norm, without skip connections, or without both."""
    return max(best(rows, kind.name, depth) for kind in KINDS if kind is not BOTH)


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("network"),
        Column("layers"),
        Column("learning rate"),
        Column("runs"),
        Column("diverged"),
        Column("test accuracy", "%"),
    ]
    body = [
        (
            kind.name,
            depth,
            float(rate),
            len(own),
            sum(number(row, "diverged") for row in own),
            100 * float(column(own, "trained_accuracy").mean()),
        )
        for kind in KINDS
        for depth in depths(rows)
        for rate in np.unique(column(rows, "learning_rate"))
        for own in (where(rows, kind=kind.name, depth=depth, learning_rate=rate),)
    ]
    notes = (f"{NORMED.name[:1].upper()}{NORMED.name[1:]}: without skip connections.",)
    return Table("Accuracy by depth and learning rate", columns, body, notes)
