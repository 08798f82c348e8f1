"""Figures as plain plotly data in one house style: lines over an axis, and stacked bars."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from normfield.errors import InvalidInput
from normfield.report.alternatives import bars_in_words, bars_table, lines_in_words, lines_table
from normfield.report.axes import Extent, axis, extent
from normfield.report.layout import figure_layout
from normfield.report.palette import series_colour
from normfield.report.regions import Band, Mark, draw_regions
from normfield.report.series import LineStyle, Series, traces
from normfield.report.tables import Table
from normfield.report.text import one_line, plot_text, shortened
from normfield.report.vectors import Numbers, vector

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True)
class LegendEntry:
    """A name of the legend, its colour's index and its kind of line."""

    name: str
    colour: int
    style: LineStyle | Literal["bar", "hatched"]


@dataclass(frozen=True)
class Figure:
    """A figure: plotly's traces and layout, its legend, and the same in words.

    ``data`` and ``layout`` are a complete plotly figure; the page draws title, legend and the y axis's title itself.
    ``alt`` says with numbers what is to be seen, ``table`` holds the numbers themselves.
    """

    title: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    legend: Sequence[LegendEntry]
    alt: str
    caption: str = ""
    y_title: str = field(default="", kw_only=True)
    table: Table | None = field(default=None, kw_only=True)

    def to_plotly(self) -> PlotlyFigure:
        """Give the figure as a ``plotly.graph_objects.Figure``."""
        from plotly.graph_objects import Figure as PlotlyFigure

        return PlotlyFigure(data=list(self.data), layout=dict(self.layout))

    def to_json(self) -> str:
        """Give ``{"data": …, "layout": …}`` as plotly.js takes it; gaps are null."""
        return json.dumps({"data": list(self.data), "layout": dict(self.layout)}, allow_nan=False)

    def __str__(self) -> str:
        return self.alt


def lines(
    series: Sequence[Series],
    x_title: str,
    y_title: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    least_decades: float = 0.0,
    marks: Sequence[Mark] = (),
    bands: Sequence[Band] = (),
    title: str = "",
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Draw series over a common axis, with marked values and shaded ranges.

    Parameters
    ----------
    series : sequence of Series
        At least one.
    x_title, y_title : str
        What the axes hold, with units.
    log_x, log_y : bool
        Logarithmic axes, base 10; values that are not positive become gaps there.
    least_decades : float
        How many decades a logarithmic y axis shows at least, so that small differences do not look large.
    marks : sequence of Mark
        Values marked across the plot, each label on a row of its own so that near ones do not overlap.
    bands : sequence of Band
        Ranges shaded across the plot.
    title, caption : str
        Above and below the figure.
    alt : str
        What the figure shows, for readers who cannot see it; by default its axes and series in words, with
        their numbers.

    Returns
    -------
    Figure

    Raises
    ------
    InvalidInput
        If there is no series, or a logarithmic axis has no positive value.
    """
    if not series:
        raise InvalidInput(expected="at least one series to draw", got="none", instead="leave the figure out")
    series = [one.seen() for one in series]
    legend = _legend(series)
    x_reach, y_reach = _reach_x(series, x_title, log_x), _reach_y(series, y_title, log_y)
    y_shown = _widened(y_reach, least_decades) if log_y else y_reach
    drawing = draw_regions(marks, bands, x_reach, log_x=log_x, log_y=log_y)
    layout = figure_layout(title, height=330 + drawing.top, top=drawing.top) | {
        "xaxis": axis(x_title, x_reach, log=log_x) | ({} if log_x else _whole_ticks(series, x_reach)),
        "yaxis": axis(y_title, y_shown, log=log_y) | ({} if y_shown == y_reach else _log_range(y_shown)),
        "shapes": drawing.shapes,
        "annotations": drawing.annotations,
        "showlegend": len(legend) > 1,
    }
    data = _line_traces(series, legend, log_x, log_y)
    words = alt or lines_in_words(title, x_title, y_title, series, marks)
    table = lines_table(title, x_title, y_title, series)
    return Figure(title, data, layout, legend, words, caption, y_title=y_title, table=table)


def bars(
    labels: Sequence[str],
    values: Mapping[str, Numbers],
    *,
    value_title: str,
    title: str = "",
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Draw one horizontal bar per label, stacked by kind, the first label on top.

    Parameters
    ----------
    labels : sequence of str
        Names of the bars.
    values : mapping of str to sequence of float
        For each kind of contribution, a value per label.
    value_title : str
        What the bars' length is, with its unit.
    title, caption, alt : str
        As for `lines`.

    Returns
    -------
    Figure

    Raises
    ------
    InvalidInput
        If there are no labels or kinds, or a kind has another number of values than there are labels.
    """
    stacks = {kind: vector(given, f"values of {kind!r}") for kind, given in values.items()}
    _check_stacks(labels, stacks)
    names = [f"{i}" for i in range(len(labels))]
    data = [_bar_trace(kind, i, names, labels, stacks[kind]) for i, kind in enumerate(stacks)]
    layout = figure_layout(title, height=90 + 30 * len(labels), top=12) | {
        "barmode": "relative",
        "bargap": 0.35,
        "xaxis": axis(value_title, None, log=False),
        "yaxis": axis("", None, log=False) | _label_axis(names, labels),
        "showlegend": len(stacks) > 1,
    }
    legend = [LegendEntry(one_line(kind), i, "bar") for i, kind in enumerate(stacks)]
    words = alt or bars_in_words(title, value_title, labels, stacks)
    table = bars_table(title, labels, stacks, value_title)
    return Figure(title, data, layout, legend, words, caption, table=table)


def _reach_x(series: Sequence[Series], title: str, log: bool) -> Extent:
    return extent((x for one in series for x in one.x), title, log=log)


def _reach_y(series: Sequence[Series], title: str, log: bool) -> Extent:
    return extent(
        (y for one in series for y in (*one.y, *(one.low or ()), *(one.high or ()))), title, log=log
    )


def _widened(reach: Extent, decades: float) -> Extent:
    """The same stretch on both sides, up to so many decades."""
    missing = (decades - math.log10(reach[1] / reach[0])) / 2
    return (reach[0] / 10**missing, reach[1] * 10**missing) if missing > 0 else reach


def _log_range(reach: Extent) -> dict[str, Any]:
    return {"range": [math.log10(end) for end in reach]}


def _whole_ticks(series: Sequence[Series], reach: Extent) -> dict[str, Any]:
    """Few whole numbers, such as layers, get a tick each and no halves between them."""
    whole = all(x is None or x == int(x) for one in series for x in one.x)
    return {"dtick": 1 if reach[1] - reach[0] <= 8 else 2} if whole and reach[1] - reach[0] <= 14 else {}


def _line_traces(
    series: Sequence[Series], legend: Sequence[LegendEntry], log_x: bool, log_y: bool
) -> list[dict[str, Any]]:
    colours = {entry.name: entry.colour for entry in legend}
    return [
        trace
        for i, one in enumerate(series)
        for trace in traces(
            one, colours[one.legend_name], first=_is_first(series, i), log_x=log_x, log_y=log_y
        )
    ]


def _check_stacks(labels: Sequence[str], stacks: Mapping[str, Sequence[float | None]]) -> None:
    if not labels or not stacks:
        raise InvalidInput(
            expected="at least one label and one kind of bar", got="none", instead="leave the figure out"
        )
    for kind, given in stacks.items():
        if len(given) != len(labels):
            raise InvalidInput(
                expected=f"a value of {kind!r} for each of the {len(labels)} labels",
                got=str(len(given)),
                instead="give None where there is none",
            )


def _legend(series: Sequence[Series]) -> list[LegendEntry]:
    styles: dict[str, LineStyle] = {one.legend_name: one.style for one in reversed(series)}
    names = dict.fromkeys(one.legend_name for one in series)
    return [LegendEntry(name, i, styles[name]) for i, name in enumerate(names)]


def _is_first(series: Sequence[Series], i: int) -> bool:
    return series[i].legend_name not in {one.legend_name for one in series[:i]}


def _bar_trace(
    kind: str, index: int, names: list[str], labels: Sequence[str], values: Sequence[float | None]
) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": plot_text(kind),
        "legendgroup": plot_text(kind),
        "y": names,
        "x": list(values),
        "customdata": [[plot_text(label), plot_text(kind)] for label in labels],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}: %{x:.3~g}<extra></extra>",
        "marker": {"color": series_colour(index), "line": {"width": 0}},
    }


def _label_axis(names: list[str], labels: Sequence[str]) -> dict[str, Any]:
    """Bars are placed by number and only named by label, so that two equal labels stay two bars."""
    return {
        "type": "category",
        "autorange": "reversed",
        "tickmode": "array",
        "tickvals": names,
        "ticktext": [plot_text(shortened(label)) + "  " for label in labels],
        "showgrid": False,
    }
