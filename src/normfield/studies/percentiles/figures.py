"""What the study of percentiles draws: one unit's percentiles by step, all units' spread, and test accuracy."""

from __future__ import annotations

import numpy as np

from normfield.report import Column, Figure, Series, Table, format_number, lines
from normfield.studies.curves import number
from normfield.studies.frame import Rows
from normfield.studies.percentiles.table import (
    ACCURACY,
    MOVED,
    NORMED,
    PLAIN,
    SPREAD,
    UNIT,
    curves,
    farthest,
    seeds,
    spread_factors,
    steps,
)

_NETWORKS = (NORMED, PLAIN)


def draw(rows: Rows) -> tuple[Figure, ...]:
    return _unit_figure(rows), _spread_figure(rows), _error_figure(rows)


def _unit_figure(rows: Rows) -> Figure:
    """The paper's figure, both networks on one scale."""
    series = []
    for network in _NETWORKS:
        low, middle, high = _unit(rows, network)
        series.append(Series(network, steps(rows), middle, low=low, high=high))
    normed, plain = (_widening(rows, network) for network in _NETWORKS)
    return lines(
        series,
        "step of training",
        "input of the sigmoid",
        title=f"The middle 70 % of a sigmoid's inputs gets {normed} times as wide with batch norm, {plain} times "
        "without",
        caption="Lines: medians over test images; bands: from the 15th to the 85th percentile. The first unit of "
        "the last hidden layer, first run.",
    )


def _unit(rows: Rows, network: str) -> tuple[np.ndarray, ...]:
    """Its percentiles in the first run, each (steps,)."""
    return tuple(curves(rows, network, name)[0] for name in UNIT)


def _widening(rows: Rows, network: str) -> str:
    """From the first look to the last."""
    low, _, high = _unit(rows, network)
    with np.errstate(divide="ignore", invalid="ignore"):
        return format_number(float((high[-1] - low[-1]) / (high[0] - low[0])), 2)


def _spread_figure(rows: Rows) -> Figure:
    normed, plain = (format_number(float(np.mean(spread_factors(rows, network))), 2) for network in _NETWORKS)
    return lines(
        _series(rows, SPREAD, 1),
        "step of training",
        "15th to 85th percentile, mean over units",
        log_y=True,
        title=f"The spread of the inputs grows by a factor of {normed} with batch norm, {plain} without",
        caption=_caption(rows),
    )


def _error_figure(rows: Rows) -> Figure:
    normed, plain = (
        100 * (1 - float(curves(rows, network, ACCURACY)[:, -1].mean())) for network in _NETWORKS
    )
    return lines(
        [_wrong(one) for one in _series(rows, ACCURACY, 100)],
        "step of training",
        "test images that are wrong (%)",
        log_y=True,
        title=f"{normed:.1f} % of the test images are wrong at the end with batch norm, {plain:.1f} % without",
        caption=f"In inference mode. {_caption(rows)}",
    )


def _wrong(right: Series) -> Series:
    """100 % minus a curve and its band."""
    low, y, high = (100 - np.asarray(each, float) for each in (right.high, right.y, right.low))
    return Series(right.name, right.x, y, low=low, high=high)


def _series(rows: Rows, name: str, unit: float) -> list[Series]:
    found = {network: unit * curves(rows, network, name) for network in _NETWORKS}
    return [
        Series(network, steps(rows), each.mean(axis=0), low=each.min(axis=0), high=each.max(axis=0))
        for network, each in found.items()
    ]


def _caption(rows: Rows) -> str:
    return f"Lines: means over {len(seeds(rows))} runs; bands: from the least to the largest of them."


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("network"),
        Column("run"),
        Column("step"),
        Column("first unit, 15th percentile"),
        Column("median"),
        Column("85th percentile"),
        Column("spread, mean over units"),
        Column("medians' distance from the first look"),
        Column("test accuracy", "%"),
    ]
    order = seeds(rows)
    body = [
        (
            row["network"],
            order.index(int(number(row, "seed"))) + 1,
            row["step"],
            *(row[name] for name in (*UNIT, SPREAD, MOVED)),
            100 * number(row, ACCURACY),
        )
        for row in rows
    ]
    far = " and ".join(
        f"{format_number(float(np.mean(farthest(rows, network))), 2)} {network}" for network in _NETWORKS
    )
    notes = (f"Medians get as far as {far} from where they were, means over runs.",)
    return Table("What the sigmoids of the last hidden layer are given", columns, body, notes)
