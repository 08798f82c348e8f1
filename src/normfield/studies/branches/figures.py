"""What the study of residual branches draws: both ratios by depth, and how the skip connection's variance grows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from normfield.report import Column, Figure, Series, Table, lines
from normfield.studies.branches.table import (
    CONVOLUTIONS,
    FAMILIES,
    NORMED,
    PLAIN,
    own_rows,
    ratio,
    spread_theory,
)
from normfield.studies.curves import column
from normfield.studies.frame import Rows

_POINTS = 20
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def draw(rows: Rows) -> tuple[Figure, ...]:
    return _ratio_figure(rows), _skip_figure(rows), _spread_figure(rows)


def _ratio_figure(rows: Rows) -> Figure:
    blocks = _blocks(rows)
    normed = [float(ratio(own_rows(rows, family, NORMED))[-1]) for family in FAMILIES]
    series = [*_both(rows, ratio), Series("1/l", blocks, 1 / blocks, "dashed")]
    return lines(
        series,
        "block l, counted from the input",
        "variance of the branch / variance of the skip connection",
        log_x=True,
        log_y=True,
        title=f"With batch norm block {blocks[-1]:.0f} adds a branch {1 / np.median(normed):.0f} times smaller than "
        "what it is added to",
        caption="Lines: with batch norm; points: without. At initialisation; variance over the draw of the weights.",
    )


def _skip_figure(rows: Rows) -> Figure:
    blocks = _blocks(rows)
    normed, plain = (
        [float(column(own_rows(rows, family, network), "skip")[-1]) for family in FAMILIES]
        for network in (NORMED, PLAIN)
    )
    return lines(
        _both(rows, lambda own: column(own, "skip")),
        "block l, counted from the input",
        "variance of the skip connection",
        log_y=True,
        title=f"Over {blocks[-1]:.0f} blocks the signal's variance comes to {np.median(normed):.0f} with batch norm, "
        f"to {_power_of_ten(float(np.median(plain)))} without",
        caption="Lines: with batch norm, where it grows by one branch per block; points: without, where it doubles.",
    )


def _spread_figure(rows: Rows) -> Figure:
    dense = [family for family in FAMILIES if family != CONVOLUTIONS]
    series = []
    for family in dense:
        own = own_rows(rows, family, NORMED)
        blocks, some = column(own, "block"), _some(own)
        series += [
            Series(family, column(some, "block"), column(some, "spread_ratio"), "markers", group=family),
            Series(f"{family}, infinite width", blocks, spread_theory(family, blocks), group=family),
        ]
    return lines(
        series,
        "block l, counted from the input",
        "variance over the batch, branch / skip connection",
        log_x=True,
        log_y=True,
        title=f"Infinite width gives every block's ratio to within {100 * (_off_theory(rows) - 1):.1f} %",
        caption="Points: networks with batch norm; lines: b/(1 + (l − 1)b), nothing fitted. This variance is what "
        "batch norm divides by.",
    )


def _off_theory(rows: Rows) -> float:
    """Largest factor between networks and theory."""
    dense = [own_rows(rows, family, NORMED) for family in FAMILIES if family != CONVOLUTIONS]
    over = [
        column(own, "spread_ratio") / spread_theory(str(own[0]["family"]), column(own, "block"))
        for own in dense
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.max(np.abs(np.log(np.concatenate(over))))))


def _power_of_ten(number: float) -> str:
    """ "about 10³⁰"."""
    if not 0 < number < np.inf:
        return "what no number holds"
    return "about 10" + f"{np.log10(number):.0f}".translate(_RAISED)


def _both(rows: Rows, values: Callable[[Rows], np.ndarray]) -> list[Series]:
    """A colour for each family: a line with batch norm, points without."""
    found = []
    for family in FAMILIES:
        normed, points = own_rows(rows, family, NORMED), _some(own_rows(rows, family, PLAIN))
        found += [
            Series(f"{family}, {NORMED}", column(normed, "block"), values(normed), group=family),
            Series(f"{family}, {PLAIN}", column(points, "block"), values(points), "markers", group=family),
        ]
    return found


def _some(own: Rows) -> Rows:
    """The blocks that get a point: evenly spread over a logarithmic axis."""
    shown = set(np.geomspace(1, len(own), _POINTS).round().astype(int).tolist())
    return [row for row in own if row["block"] in shown]


def _blocks(rows: Rows) -> np.ndarray:
    return np.unique(column(rows, "block"))


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("network"),
        Column("batch norm"),
        Column("block"),
        Column("variance, skip connection"),
        Column("variance, branch"),
        Column("branch / skip"),
        Column("the same over the batch"),
    ]
    body = [
        (
            row["family"],
            row["network"],
            row["block"],
            row["skip"],
            row["branch"],
            float(ratio([row])[0]),
            row["spread_ratio"],
        )
        for row in rows
    ]
    notes = ("Geometric means over the networks drawn.",)
    return Table("Branch and skip connection, block by block", columns, body, notes)
