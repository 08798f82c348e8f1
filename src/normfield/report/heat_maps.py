"""A heat map: values on a grid, cells that exploded hatched, lines and points drawn over them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from normfield.errors import InvalidInput
from normfield.report.figures import Figure, LegendEntry
from normfield.report.formatting import format_number
from normfield.report.grid_axes import grid_axis
from normfield.report.grids import Grid, read_grid
from normfield.report.heat_map_words import heat_map_in_words, heat_map_table
from normfield.report.layout import figure_layout
from normfield.report.line_labels import line_labels
from normfield.report.palette import GRID, HEAT, MUTED, PAPER
from normfield.report.series import Series, traces
from normfield.report.text import one_line, plot_text
from normfield.report.vectors import Numbers, vector

# The palette's warm colours first, which stand out from the cold ones of the cells; its grey is the hatching's.
_COLOURS_OF = {"line": (3, 4, 1, 0, 2), "dashed": (4, 3, 1, 0, 2), "markers": (1, 3, 4, 0, 2)}
_HATCHED_COLOUR = 6
_HEIGHT, _TOP, _HALO = 400, 12, 3.2
_MOST_DECADE_TICKS = 6

Ends = tuple[float, float]


def heat_map(
    x: Numbers | Sequence[str],
    y: Numbers | Sequence[str],
    values: Iterable[Iterable[Any]],
    x_title: str,
    y_title: str,
    value_title: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    log_values: bool = False,
    limits: tuple[float, float] | None = None,
    bright: Literal["high", "low"] = "high",
    hatched: Iterable[Iterable[Any]] | None = None,
    hatched_name: str = "exploded",
    series: Sequence[Series] = (),
    title: str = "",
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Draw values on a grid as colours, with lines and points over them.

    Parameters
    ----------
    x, y : sequence of float or of str
        Where the columns and the rows of cells stand, in any order; words are drawn in the order given, at 0, 1, ….
    values : rows of numbers
        A row for each y, in it a number for each x; a missing, infinite or NaN value is an empty cell.
    x_title, y_title, value_title : str
        What the axes and the colours hold, with units.
    log_x, log_y, log_values : bool
        Logarithmic axes and colours, base 10.
    limits : pair of float, optional
        Values at the two ends of the colours; what lies beyond them takes the colour of the end.
    bright : "high" or "low"
        Which values are bright.
    hatched : rows of truth values, optional
        Cells that are hatched instead of coloured, such as those where a run exploded, whatever their value.
    hatched_name : str
        What the legend calls these.
    series : sequence of Series
        Lines, dashed lines and points in the axes' own units; each stands in the legend, the name of a line on it as
        well. What lies outside the cells is not drawn.
    title, caption : str
        Above and below the figure.
    alt : str
        What the figure shows, for readers who cannot see it; by default its axes, colours and series in words.

    Returns
    -------
    Figure

    Raises
    ------
    InvalidInput
        Rows of another number than y or of another length than x, nothing to draw, values that a logarithmic axis or
        logarithmic colours cannot show, limits out of order.

    Examples
    --------
    >>> figure = heat_map([1, 2], [0.1, 1], [[3, 1], [9, None]], "depth", "η", "test loss", log_y=True)
    >>> figure.to_plotly().data[0].type
    'heatmap'
    """
    across, up = grid_axis(x, x_title, log=log_x), grid_axis(y, y_title, log=log_y)
    grid = read_grid(across, up, values, hatched, value_title, hatched_name)
    colours = _series_colours(series)
    data = [
        _cells(grid, _ends(grid, limits, log_values), log_values, bright),
        *_hatching(grid),
        *_overlay(series, colours, log_x, log_y),
    ]
    layout = figure_layout(title, height=_HEIGHT, top=_TOP) | {
        "xaxis": across.style(),
        "yaxis": up.style(),
        "annotations": line_labels(series, across.reach, up.reach, log_x=log_x, log_y=log_y),
    }
    words = alt or heat_map_in_words(title, grid, series)
    legend = _legend(grid, series, colours)
    table = heat_map_table(title, grid)
    return Figure(title, data, layout, legend, words, caption, y_title=y_title, table=table)


def _ends(grid: Grid, limits: tuple[float, float] | None, log: bool) -> Ends:
    """Values at the ends of the colours: as given, or the least and the largest."""
    known = [value for value, *_ in grid.known if value > 0 or not log]
    if not known and not grid.hatched_count:
        raise InvalidInput(
            expected=f"at least one {'positive' if log else 'finite'} value of {grid.value_title!r}",
            got="none",
            instead="leave the figure out",
        )
    if limits is None:
        return (min(known), max(known)) if known else (1.0, 1.0)
    low, high = vector(limits, "limits")
    if low is None or high is None or low >= high or (log and low <= 0):
        raise InvalidInput(
            expected=f"limits (low, high) of the colours, {'0 < ' if log else ''}low < high",
            got=str(limits),
            instead="order them, or leave them out",
        )
    return low, high


def _cells(grid: Grid, ends: Ends, log: bool, bright: str) -> dict[str, Any]:
    low, high = (math.log10(end) if log else end for end in ends)
    return {
        "type": "heatmap",
        "x": list(grid.across.edges),
        "y": list(grid.up.edges),
        "z": [[_height(value, log) for value in row] for row in grid.values],
        "zmin": low,
        "zmax": high if high > low else low + 1,
        "colorscale": _colours(bright),
        "text": _hover(grid),
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "colorbar": _colour_bar(grid.value_title, ends, log),
    }


def _height(value: float | None, log: bool) -> float | None:
    if value is None or (log and value <= 0):
        return None
    return math.log10(value) if log else value


def _colours(bright: str) -> list[list[Any]]:
    if bright not in ("high", "low"):
        raise InvalidInput(expected='bright "high" or "low"', got=repr(bright), instead="choose one of them")
    ordered = HEAT if bright == "high" else HEAT[::-1]
    return [[i / (len(ordered) - 1), colour] for i, colour in enumerate(ordered)]


def _colour_bar(title: str, ends: Ends, log: bool) -> dict[str, Any]:
    return {
        "title": {"text": plot_text(title), "side": "right", "font": {"size": 13, "color": MUTED}},
        "thickness": 14,
        "outlinewidth": 0,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": GRID,
        "tickfont": {"size": 12, "color": MUTED},
        "nticks": 7,
        "x": 1.015,
        "xpad": 4,
        "ypad": 0,
    } | (_log_ticks(ends) if log else {})


def _log_ticks(ends: Ends) -> dict[str, Any]:
    """Ticks of logarithmic colours: decades, with 2 and 5 between them where these are few."""
    low, high = (math.log10(end) for end in ends)
    powers = range(math.floor(low), math.ceil(high) + 1)
    digits = (1, 2, 5) if len(powers) <= _MOST_DECADE_TICKS // 2 + 1 else (1,)
    within = [k * 10.0**power for power in powers for k in digits if low <= math.log10(k) + power <= high]
    step = max(1, math.ceil(len(within) / (2 * _MOST_DECADE_TICKS)))
    ticks = within[::step] if len(within) > 1 else list(dict.fromkeys(ends))
    return {
        "tickvals": [math.log10(tick) for tick in ticks],
        "ticktext": [format_number(tick) for tick in ticks],
    }


def _hover(grid: Grid) -> list[list[str]]:
    x, y, value = (plot_text(title) for title in (grid.across.title, grid.up.title, grid.value_title))
    hatched = f"<b>{plot_text(grid.hatched_name)}</b>"

    def text(i: int, j: int) -> str:
        what = hatched if grid.hatched[j][i] else f"{value}: <b>{format_number(grid.values[j][i])}</b>"
        return f"{x}: {plot_text(grid.across.names[i])}<br>{y}: {plot_text(grid.up.names[j])}<br>{what}"

    return [[text(i, j) for i in range(len(row))] for j, row in enumerate(grid.values)]


def _hatching(grid: Grid) -> list[dict[str, Any]]:
    """One area of many rectangles, drawn as lines on the paper's colour."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for i, first, after in grid.hatched_stretches():
        left, right = grid.across.edges[i : i + 2]
        bottom, top = grid.up.edges[first], grid.up.edges[after]
        xs += [left, right, right, left, left, None]
        ys += [bottom, bottom, top, top, bottom, None]
    if not xs:
        return []
    name = plot_text(grid.hatched_name)
    pattern = {
        "shape": "/",
        "fillmode": "replace",
        "fgcolor": GRID,
        "bgcolor": PAPER,
        "size": 7,
        "solidity": 0.28,
    }
    area = {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "fill": "toself",
        "fillpattern": pattern,
        "line": {"width": 0, "color": MUTED},
        "name": name,
        "legendgroup": name,
        "hoverinfo": "skip",
        "showlegend": True,
    }
    return [area]


def _overlay(
    series: Sequence[Series], colours: Sequence[int], log_x: bool, log_y: bool
) -> Iterator[dict[str, Any]]:
    """The traces of all series; the first of a group stands in the legend."""
    seen: set[str] = set()
    for one, colour in zip(series, colours, strict=True):
        yield from _over(one, colour, first=one.legend_name not in seen, log_x=log_x, log_y=log_y)
        seen.add(one.legend_name)


def _over(series: Series, colour: int, *, first: bool, log_x: bool, log_y: bool) -> list[dict[str, Any]]:
    """A series with a border in the paper's colour, so that it stands out from light and dark cells."""
    drawn = traces(series, colour, first=first, log_x=log_x, log_y=log_y)
    if series.style == "markers":
        bordered = [
            one | {"marker": one["marker"] | {"line": {"width": 1.6, "color": PAPER}}} for one in drawn
        ]
        return [*map(_halo_of_bars, (one for one in drawn if "error_y" in one)), *bordered]
    return [one for trace in drawn for one in ((trace,) if "fill" in trace else (_halo(trace), trace))]


def _halo(trace: dict[str, Any]) -> dict[str, Any]:
    width = trace["line"]["width"] + _HALO
    border = {"color": PAPER, "width": width, "dash": "solid"}
    return trace | {
        "line": border,
        "opacity": 0.85,
        "hoverinfo": "skip",
        "hovertemplate": None,
        "showlegend": False,
    }


def _halo_of_bars(trace: dict[str, Any]) -> dict[str, Any]:
    bars = trace["error_y"] | {"color": PAPER, "thickness": trace["error_y"]["thickness"] + _HALO}
    return trace | {"error_y": bars, "hoverinfo": "skip", "hovertemplate": None, "showlegend": False}


def _legend(grid: Grid, series: Sequence[Series], colours: Sequence[int]) -> list[LegendEntry]:
    exploded = [LegendEntry(grid.hatched_name, _HATCHED_COLOUR, "hatched")] if grid.hatched_count else []
    named = [
        LegendEntry(one_line(one.legend_name), colour, one.style)
        for one, colour in zip(series, colours, strict=True)
    ]
    return [*exploded, *{entry.name: entry for entry in named}.values()]


def _series_colours(series: Sequence[Series]) -> list[int]:
    """A colour for each series: the first that its style likes and nobody has; series of one group share theirs."""
    taken: dict[str, int] = {}
    for one in series:
        if one.legend_name not in taken:
            liked = _COLOURS_OF[one.style]
            free = [colour for colour in liked if colour not in taken.values()]
            taken[one.legend_name] = free[0] if free else liked[len(taken) % len(liked)]
    return [taken[one.legend_name] for one in series]
