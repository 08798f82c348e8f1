"""Maps as heat maps with theory and measured boundary, the boundary's distance from theory, and columns as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from normfield.report import Column, Figure, Series, Table, heat_map, lines
from normfield.studies.curves import number, where
from normfield.studies.frame import Row, Rows
from normfield.studies.phase_diagrams.axis import Axis, Theory
from normfield.studies.phase_diagrams.boundaries import Map
from normfield.studies.phase_diagrams.checks import offset_words, root_mean_square

_ETA = "learning rate η"
#: Losses from the least of a map up to so many times it have a colour of their own.
_COLOURS = 30.0
#: So many decades are shown at least around theory, so that small distances look small.
_DECADES = 2.0


def map_figure(found: Map, rows: Rows, axis: Axis) -> Figure:
    """One map on the paper's axes: test loss, hatched where a run exploded, theory, boundary and best rate."""
    own = where(rows, panel=found.panel)
    across = [line.value for line in found.lines]
    rates = list(dict.fromkeys(number(row, "log10_eta") for row in own))
    cells = {(row[axis.column], row["log10_eta"]): row for row in own}
    losses = [[_loss(cells[x, rate]) for x in across] for rate in rates]
    known = [loss for row in losses for loss in row if loss is not None]
    return heat_map(
        across,
        [10**rate for rate in rates],
        losses,
        axis.words,
        _ETA,
        "test loss",
        log_y=True,
        log_values=True,
        limits=_limits(known),
        bright="low",
        hatched=[[number(cells[x, rate], "diverged") > 0 for x in across] for rate in rates],
        hatched_name="a run exploded",
        series=[*_theory_lines(found, axis), *_points(found)],
        title=_headline(found, axis),
        caption=f"{number(own[0], 'runs'):g} runs in each cell; colours: their mean test loss, up to "
        f"{_COLOURS:g} times the least. Points: half-way between the cells up to which no run explodes and the next; "
        "bars reach to where all do.",
    )


def _limits(known: Sequence[float]) -> tuple[float, float] | None:
    """From the least loss so many times up, as far as there are any."""
    if len(set(known)) < 2:
        return None
    return min(known), min(max(known), _COLOURS * min(known))


def _loss(row: Row) -> float | None:
    value = number(row, "test_loss")
    return value if np.isfinite(value) else None


def _headline(found: Map, axis: Axis) -> str:
    offsets = " and ".join(f"{offset_words(found, theory)} η* {theory.words}" for theory in axis.theories)
    return f"{found.panel[:1].upper() + found.panel[1:]}: runs explode {offsets}"


def _theory_lines(found: Map, axis: Axis) -> list[Series]:
    x = found.values("value")
    styles = ("line", *["dashed"] * (len(axis.theories) - 1))
    return [
        Series(
            f"η* {theory.words}",
            x,
            [10 ** line.theory[theory.column] for line in found.lines],
            style,  # type: ignore[arg-type]
        )
        for theory, style in zip(axis.theories, styles, strict=True)
    ]


def _points(found: Map) -> list[Series]:
    x, boundary = found.values("value"), 10 ** found.values("boundary")
    return [
        Series("where runs explode", x, boundary, "markers", low=boundary, high=10 ** found.values("every")),
        Series("best learning rate", x, 10 ** found.values("best"), "markers"),
    ]


def distance_figure(found: Sequence[Map], theory: Theory, axis: Axis) -> Figure:
    """How far the boundary of every map is from one theory, column by column."""
    series = [
        Series(
            one.panel,
            one.values("value"),
            _multiples(one, "boundary", theory),
            "markers",
            low=_multiples(one, "boundary", theory),
            high=_multiples(one, "every", theory),
        )
        for one in found
    ]
    limit = Series("theory", [*_ends(found)], [1.0, 1.0], "dashed")
    root = root_mean_square(np.concatenate([one.above(theory.column) for one in found]))
    return lines(
        [limit, *series],
        axis.words,
        "where runs explode, as a multiple of η*",
        log_y=True,
        least_decades=_DECADES,
        title=f"Where runs explode, beside η* {theory.words}: {root:.2f} decades apart, root mean square",
        caption="1 is theory, nothing fitted. Points: where the first run explodes; bars reach to where all do.",
    )


def _multiples(found: Map, place: str, theory: Theory) -> list[float]:
    """Of each column's η*, where something happens."""
    return [10 ** (getattr(line, place) - line.theory[theory.column]) for line in found.lines]


def _ends(found: Sequence[Map]) -> tuple[float, float]:
    values = np.concatenate([one.values("value") for one in found])
    return float(values.min()), float(values.max())


def columns_table(found: Sequence[Map], axis: Axis) -> Table:
    """Every column of every map: learning rates as log₁₀η."""
    columns = [
        Column("map"),
        Column(axis.symbol),
        Column("a run explodes", digits=3),
        Column("all explode", digits=3),
        Column("a run ends worse", digits=3),
        Column("best", digits=3),
        Column("its test loss", digits=3),
        *(Column(f"η* {theory.words}", digits=3) for theory in axis.theories),
    ]
    body = [
        (
            *(one.panel, line.value, line.boundary, line.every, line.worse, line.best, line.best_loss),
            *(line.theory[theory.column] for theory in axis.theories),
        )
        for one in found
        for line in one.lines
    ]
    notes = (
        "Learning rates are log₁₀η. Where something begins is half-way between the cells up to which it happens to no "
        "run and the next; empty where the grid does not reach it. Test losses are means over the runs of a cell.",
    )
    return Table("Where runs explode, end worse and do best", columns, body, notes)
