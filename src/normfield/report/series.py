"""One curve or set of points, and the plotly traces that draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from normfield.errors import InvalidInput
from normfield.report.palette import SERIES, band_colour, series_colour
from normfield.report.text import one_line, plot_text
from normfield.report.vectors import Numbers, vector

LineStyle = Literal["line", "dashed", "markers"]

_DASHES = ("solid", "dot", "dashdot")
# Beside their colours, so that no reader has to tell them by colour alone.
SYMBOLS = {
    "circle": "●",
    "square": "■",
    "diamond": "◆",
    "triangle-up": "▲",
    "cross": "✚",
    "star": "★",
    "x": "✖",
}


@dataclass(frozen=True)
class Series:
    """One curve or set of points.

    Parameters
    ----------
    name : str
        What the legend calls it.
    x, y : sequence of float
        Equally long; a missing, infinite or NaN value is a gap.
    style : "line", "dashed" or "markers"
    low, high : sequence of float, optional
        Both or neither: a tinted band around a line, error bars on markers.
    hover : sequence of str, optional
        A text per point, shown on hovering.
    group : str, optional
        Series of one group share a colour and one entry in the legend, named after the group.

    Raises
    ------
    InvalidInput
        If the lengths differ, the style is none of these, or only one of ``low`` and ``high`` is given.
    """

    name: str
    x: Numbers
    y: Numbers
    style: LineStyle = "line"
    low: Numbers | None = None
    high: Numbers | None = None
    hover: Sequence[str] | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        for name in ("x", "y", "low", "high"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, vector(given, f"{name} of series {self.name!r}"))
        if self.hover is not None:
            object.__setattr__(self, "hover", tuple(self.hover))
        _check_series(self)

    @property
    def legend_name(self) -> str:
        return one_line(self.name if self.group is None else self.group)

    def seen(self) -> Series:
        """The same, with a marker where a line would have one point only and not be seen."""
        points = sum(x is not None and y is not None for x, y in zip(self.x, self.y, strict=True))
        return replace(self, style="markers") if points == 1 else self


def symbol(index: int) -> str:
    """Plotly's name of the symbol of the so-manieth series."""
    return tuple(SYMBOLS)[index % len(SYMBOLS)]


def traces(series: Series, colour: int, *, first: bool, log_x: bool, log_y: bool) -> list[dict[str, Any]]:
    """Give the band, if any, and the curve; the first of its group stands in the legend."""
    group = {"legendgroup": plot_text(series.legend_name), "type": "scatter"}
    tint = series_colour(colour)
    x, y = _drawable(series.x, log_x), _drawable(series.y, log_y)
    trace = group | {
        "name": plot_text(series.legend_name),
        "x": x,
        "y": y,
        "mode": "markers" if series.style == "markers" else "lines",
        "showlegend": first,
        "customdata": [[plot_text(series.name), plot_text(text)] for text in series.hover or [""] * len(x)],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{x:.3~g} → %{y:.3~g}<br>%{customdata[1]}<extra></extra>",
        "line": {"color": tint, "width": 2.2, "dash": _dash(series.style, colour)},
        "marker": {
            "color": tint,
            "size": 9,
            "line": {"width": 0},
            "symbol": symbol(colour),
        },
    }
    if series.low is None or series.high is None:
        return [trace]
    low, high = _drawable(series.low, log_y), _drawable(series.high, log_y)
    if series.style == "markers":
        return [trace | {"error_y": _error_bars(y, low, high, tint)}]
    return [*_band_traces(group, x, low, high, tint), trace]


def _drawable(values: Numbers, log: bool) -> list[float | None]:
    return [None if value is None or (log and value <= 0) else value for value in values]


def _dash(style: str, colour: int) -> str:
    return "dash" if style == "dashed" else _DASHES[colour // len(SERIES) % len(_DASHES)]


def _error_bars(
    y: list[float | None], low: list[float | None], high: list[float | None], tint: str
) -> dict[str, Any]:
    def reach(a: float | None, b: float | None) -> float:
        return 0.0 if a is None or b is None else a - b

    above = [reach(top, value) for top, value in zip(high, y, strict=True)]
    below = [reach(value, bottom) for value, bottom in zip(y, low, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "color": tint,
        "thickness": 1.5,
    }


def _band_traces(
    group: dict[str, str], x: list[float | None], low: list[float | None], high: list[float | None], tint: str
) -> list[dict[str, Any]]:
    """A closed outline per unbroken stretch, since plotly closes an outline with gaps over them."""
    stretches: list[list[tuple[float, float, float]]] = [[]]
    for a, b, c in zip(x, low, high, strict=True):
        if a is None or b is None or c is None:
            stretches.append([])
        else:
            stretches[-1].append((a, b, c))
    quiet = {"mode": "lines", "line": {"width": 0, "color": tint}, "hoverinfo": "skip", "showlegend": False}
    return [
        group
        | quiet
        | {
            "x": [a for a, _, _ in stretch] + [a for a, _, _ in reversed(stretch)],
            "y": [c for _, _, c in stretch] + [b for _, b, _ in reversed(stretch)],
            "fill": "toself",
            "fillcolor": band_colour(tint),
        }
        for stretch in stretches
        if len(stretch) > 1
    ]


def _check_series(series: Series) -> None:
    lengths = {
        name: len(given)
        for name in ("y", "low", "high", "hover")
        if (given := getattr(series, name)) is not None
    }
    wrong = {name: length for name, length in lengths.items() if length != len(series.x)}
    if wrong:
        name, length = next(iter(wrong.items()))
        raise InvalidInput(
            expected=f"as many values in {name} as in x ({len(series.x)}) of series {series.name!r}",
            got=str(length),
            instead="give one per point, None for a gap",
        )
    if (series.low is None) != (series.high is None):
        raise InvalidInput(
            expected=f"both low and high of series {series.name!r}, or neither",
            got="one of them",
            instead="give both",
        )
    if series.style not in ("line", "dashed", "markers"):
        raise InvalidInput(
            expected="style line, dashed or markers", got=repr(series.style), instead="choose one of them"
        )
