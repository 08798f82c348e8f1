"""Several estimates of one number on a common axis, each with its error bar: a row each, its name on the row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normfield.errors import InvalidInput
from normfield.report.axes import Extent, axis
from normfield.report.figures import Figure
from normfield.report.formatting import format_number
from normfield.report.layout import figure_layout
from normfield.report.palette import GRID, INK, PAPER, series_colour
from normfield.report.regions import Band, Mark, draw_regions
from normfield.report.tables import Column, Table
from normfield.report.text import one_line, plot_text, shortened
from normfield.report.vectors import vector

_ROW, _ROOM, _LETTERS = 62, 1.6, 30


@dataclass(frozen=True)
class Estimate:
    """One estimate: its name, its value and how far it may lie off.

    Parameters
    ----------
    name : str
        Whose estimate it is.
    value : float
        Positive and finite.
    low, high : float, optional
        Both or neither: the ends of its error bar.
    note : str
        A word or two behind the name, such as what kind of number it is.
    bound : bool
        Whether the value is only an upper bound: drawn as an arrow to the left.

    Raises
    ------
    InvalidInput
        If a number is not positive and finite, or only one of ``low`` and ``high`` is given.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    bound: bool = False

    def __post_init__(self) -> None:
        numbers = vector((self.value, self.low, self.high), f"the estimate {self.name!r}")
        if numbers[0] is None or any(number is not None and number <= 0 for number in numbers):
            raise InvalidInput(
                expected=f"positive finite numbers in the estimate {self.name!r}",
                got=f"{self.value}, {self.low}, {self.high}",
                instead="leave the estimate out",
            )
        if (self.low is None) != (self.high is None):
            raise InvalidInput(
                expected=f"both low and high of the estimate {self.name!r}, or neither", got="one of them"
            )

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the error bar; twice the value where there is none."""
        return (self.low or self.value), (self.high or self.value)


def estimates(
    rows: Sequence[Estimate],
    x_title: str,
    *,
    marks: Sequence[Mark] = (),
    bands: Sequence[Band] = (),
    title: str = "",
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Draw estimates of one number below each other on a logarithmic axis.

    Parameters
    ----------
    rows : sequence of Estimate
        The first on top.
    x_title : str
        What the number is, with its unit.
    marks, bands, title, caption, alt
        As for `lines`; marks and bands of the x axis.

    Returns
    -------
    Figure

    Raises
    ------
    InvalidInput
        If there is no estimate.
    """
    if not rows:
        raise InvalidInput(
            expected="at least one estimate to draw", got="none", instead="leave the figure out"
        )
    reach = _reach(rows, marks, bands)
    drawing = draw_regions(marks, bands, reach, log_x=True, log_y=False)
    layout = figure_layout(title, height=64 + _ROW * len(rows) + drawing.top, top=drawing.top) | {
        "xaxis": axis(x_title, reach, log=True) | {"range": [math.log10(end) for end in reach]},
        "yaxis": axis("", None, log=False) | {"range": [len(rows) - 0.5, -0.75], "visible": False},
        "shapes": [*_rules(len(rows)), *drawing.shapes],
        "annotations": [*map(_row_label, range(len(rows)), rows), *drawing.annotations],
        "showlegend": False,
    }
    data = [_trace(i, row) for i, row in enumerate(rows)]
    words = alt or _in_words(title, x_title, rows, marks)
    return Figure(title, data, layout, (), words, caption, table=_table(title, x_title, rows))


def _reach(rows: Sequence[Estimate], marks: Sequence[Mark], bands: Sequence[Band]) -> Extent:
    """All that is drawn with room on both sides, at least a decade."""
    ends = [end for row in rows for end in row.ends]
    ends += [mark.at for mark in marks] + [end for band in bands for end in (band.low, band.high)]
    low, high = min(ends) / _ROOM, max(ends) * _ROOM
    short = max(1.0, (10 / (high / low)) ** 0.5)
    return low / short, high * short


def _rules(count: int) -> list[dict[str, Any]]:
    """A thin line for every row."""
    line = {"color": GRID, "width": 1}
    across = {"xref": "paper", "x0": 0, "x1": 1, "yref": "y"}
    return [{"type": "line", "layer": "below", "line": line, "y0": i, "y1": i} | across for i in range(count)]


def _row_label(i: int, row: Estimate) -> dict[str, Any]:
    name = shortened(row.name, _LETTERS)
    note = f", {shortened(row.note, _LETTERS - len(name))}" if row.note else ""
    sign = "at most " if row.bound else ""
    return {
        "text": f"<b>{plot_text(name)}</b>{plot_text(note)}: {sign}{format_number(row.value)}",
        "showarrow": False,
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "yref": "y",
        "y": i,
        "yanchor": "bottom",
        "yshift": 8,
        "align": "left",
        "bgcolor": PAPER,
        "borderpad": 1,
        "font": {"size": 13, "color": INK},
    }


def _trace(i: int, row: Estimate) -> dict[str, Any]:
    tint, (low, high) = series_colour(i), row.ends
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plot_text(row.name),
        "legendgroup": plot_text(row.name),
        "x": [row.value],
        "y": [i],
        "cliponaxis": False,
        "marker": {"color": tint, "size": 13, "symbol": "triangle-left" if row.bound else "circle"},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - row.value],
            "arrayminus": [row.value - low],
            "color": tint,
            "thickness": 2.5,
            "width": 6,
        },
        "customdata": [[plot_text(row.name), plot_text(_range_words(row))]],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{x:.3~g}%{customdata[1]}<extra></extra>",
    }


def _range_words(row: Estimate) -> str:
    return "" if row.low is None else f" ({format_number(row.low)} to {format_number(row.high)})"


def _in_words(title: str, x_title: str, rows: Sequence[Estimate], marks: Sequence[Mark]) -> str:
    named = "; ".join(
        f"{one_line(row.name)}{', ' + one_line(row.note) if row.note else ''}: "
        f"{'at most ' if row.bound else ''}{format_number(row.value)}{_range_words(row)}"
        for row in rows
    )
    marked = "".join(f" Marked: {one_line(mark.label)} at {format_number(mark.at)}." for mark in marks)
    head = f"{one_line(title).rstrip('.')}. " if title else ""
    return f"{head}{one_line(x_title)} on one logarithmic axis. {named}.{marked}"


def _table(title: str, x_title: str, rows: Sequence[Estimate]) -> Table:
    columns = [
        Column("estimate"),
        Column("kind"),
        *(Column(name, align="right") for name in ("value", "from", "to")),
    ]
    found = [
        (row.name, "upper bound" if row.bound else row.note, row.value, row.low, row.high) for row in rows
    ]
    return Table(title or x_title, columns, found, [x_title])
