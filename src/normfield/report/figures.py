"""Figures as plain plotly data in one house style: lines over an axis, and stacked bars."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from normfield.errors import InvalidInput
from normfield.report.axes import Extent, axis, extent
from normfield.report.palette import INK, MUTED, series_colour
from normfield.report.regions import Band, Mark, draw_regions
from normfield.report.series import LineStyle, Series, traces
from normfield.report.text import one_line, plot_text
from normfield.report.vectors import Numbers, vector

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


@dataclass(frozen=True)
class LegendEntry:
    """A name of the legend, its colour's index and its kind of line."""

    name: str
    colour: int
    style: LineStyle | Literal["bar"]


@dataclass(frozen=True)
class Figure:
    """A figure: plotly's traces and layout, its legend, and the same in words.

    ``data`` and ``layout`` are a complete plotly figure; the page draws title, legend and the y axis's title itself.
    """

    title: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    legend: Sequence[LegendEntry]
    alt: str
    caption: str = ""
    y_title: str = field(default="", kw_only=True)

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
    marks : sequence of Mark
        Values marked across the plot, each label on a row of its own so that near ones do not overlap.
    bands : sequence of Band
        Ranges shaded across the plot.
    title, caption : str
        Above and below the figure.
    alt : str
        What the figure shows, for readers who cannot see it; by default its axes and series in words.

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
    legend = _legend(series)
    x_reach, y_reach = _reach_x(series, x_title, log_x), _reach_y(series, y_title, log_y)
    drawing = draw_regions(marks, bands, x_reach, log_x=log_x, log_y=log_y)
    layout = _layout(title, height=330 + drawing.top, top=drawing.top) | {
        "xaxis": axis(x_title, x_reach, log=log_x),
        "yaxis": axis(y_title, y_reach, log=log_y),
        "shapes": drawing.shapes,
        "annotations": drawing.annotations,
        "showlegend": len(legend) > 1,
    }
    data = _line_traces(series, legend, log_x, log_y)
    words = alt or _lines_in_words(title, x_title, y_title, legend, marks)
    return Figure(title, data, layout, legend, words, caption, y_title=y_title)


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
    layout = _layout(title, height=90 + 30 * len(labels), top=12) | {
        "barmode": "relative",
        "bargap": 0.35,
        "xaxis": axis(value_title, None, log=False),
        "yaxis": axis("", None, log=False) | _label_axis(names, labels),
        "showlegend": len(stacks) > 1,
    }
    legend = [LegendEntry(one_line(kind), i, "bar") for i, kind in enumerate(stacks)]
    words = alt or _bars_in_words(title, value_title, labels, legend)
    return Figure(title, data, layout, legend, words, caption)


def _reach_x(series: Sequence[Series], title: str, log: bool) -> Extent:
    return extent((x for one in series for x in one.x), title, log=log)


def _reach_y(series: Sequence[Series], title: str, log: bool) -> Extent:
    return extent(
        (y for one in series for y in (*one.y, *(one.low or ()), *(one.high or ()))), title, log=log
    )


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
        "ticktext": [plot_text(_shortened(label)) + "  " for label in labels],
        "showgrid": False,
    }


def _shortened(label: str, longest: int = 22) -> str:
    line = one_line(label)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _layout(title: str, height: int, top: int) -> dict[str, Any]:
    """The whole figure: title above, legend below. ``meta`` holds its measures on the page, which draws both itself."""
    header = 44 if title else 0
    return {
        "title": {
            "text": plot_text(title),
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 14, "l": 14},
            "font": {"size": 17, "color": INK},
        },
        "meta": {"height": height, "top": top},
        "font": {"family": FONT, "size": 13, "color": MUTED},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "height": height + header + 44,
        "margin": {"l": 12, "r": 16, "t": top + header, "b": 12},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "font": {"color": INK},
        },
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 13}, "align": "left"},
        "autosize": True,
        "uirevision": "kept",
    }


def _lines_in_words(
    title: str, x_title: str, y_title: str, legend: Sequence[LegendEntry], marks: Sequence[Mark]
) -> str:
    marked = f"; marked: {', '.join(one_line(mark.label) for mark in marks)}" if marks else ""
    names = ", ".join(entry.name for entry in legend)
    return _joined(title, f"Line chart of {one_line(y_title)} against {one_line(x_title)}: {names}{marked}.")


def _bars_in_words(title: str, value_title: str, labels: Sequence[str], legend: Sequence[LegendEntry]) -> str:
    kinds = ", ".join(entry.name for entry in legend)
    bars_named = ", ".join(one_line(label) for label in labels)
    return _joined(title, f"Stacked bars of {one_line(value_title)} ({kinds}) for {bars_named}.")


def _joined(title: str, sentence: str) -> str:
    return f"{one_line(title).rstrip('.')}. {sentence}" if title else sentence
