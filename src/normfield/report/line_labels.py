"""Names written on lines inside a plot, each where it hides the least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from normfield.report.axes import Extent, fraction
from normfield.report.palette import INK, PAPER
from normfield.report.series import Series
from normfield.report.text import plot_text, shortened

# Widths of a plot on a phone and on a laptop, its height, and a letter and a row of labels, in pixels.
_WIDTHS, _HEIGHT, _LETTER, _ROW = (250, 700), 330, 7.0, 20
# How far labels stand off their line, how far they keep from markers and from other lines, letters of the longest.
_OFF, _MARKER, _OTHER, _LONGEST = 7, 8, 12, 34
# Points looked at on a line, on an error bar, and for the place of a label.
_ON_A_LINE, _ON_A_BAR, _TRIED = 96, 6, 48
# What it costs to hide a marker, or a whole line, against a pixel of another label.
_MARKER_COST, _LINE_COST = 300.0, 1000.0
# Across and up from a point of the line: in which direction its label stands.
_SIDES = tuple((across, up) for across in (-1, 0, 1) for up in (-1, 1))


@dataclass(frozen=True)
class _Dot:
    """A point of a series: as parts of the plot's width and height, and in the axes' units."""

    across: float
    up: float
    x: float
    y: float


@dataclass(frozen=True)
class _Drawn:
    """The dots of a series that lie in the plot."""

    dots: Sequence[_Dot]
    are_markers: bool

    @property
    def cost(self) -> float:
        """Of hiding one dot."""
        return _MARKER_COST if self.are_markers else _LINE_COST / max(len(self.dots), 1)


@dataclass(frozen=True)
class _Place:
    """A label at a dot, on one side of it."""

    dot: _Dot
    side: tuple[int, int]
    width: float

    def middle(self, plot: float) -> tuple[float, float]:
        """Its middle in pixels, in a plot of so many across."""
        across, up = self.side
        aside = across * (self.width / 2 + _OFF / 2)
        above = up * (_ROW / 2 + (_OFF if across == 0 else 0))
        return self.dot.across * plot + aside, self.dot.up * _HEIGHT + above

    def is_inside(self, plot: float) -> bool:
        x, y = self.middle(plot)
        return self.width / 2 <= x <= plot - self.width / 2 and _ROW / 2 <= y <= _HEIGHT - _ROW / 2

    def overlap(self, other: _Place, plot: float) -> float:
        """Area that two labels share."""
        (x0, y0), (x1, y1) = self.middle(plot), other.middle(plot)
        across = (self.width + other.width) / 2 - abs(x0 - x1)
        return max(across, 0.0) * max(_ROW - abs(y0 - y1), 0.0)

    def hidden(self, drawn: _Drawn, room: float, plot: float) -> int:
        """How many dots it hides, or comes so near to."""
        x, y = self.middle(plot)
        across, up = self.width / 2 + room, _ROW / 2 + room
        return sum(
            abs(dot.across * plot - x) < across and abs(dot.up * _HEIGHT - y) < up for dot in drawn.dots
        )


def line_labels(
    series: Sequence[Series], x_reach: Extent, y_reach: Extent, *, log_x: bool, log_y: bool
) -> list[dict[str, Any]]:
    """Plotly's annotations with the name of each line, clear of markers; a line outside the plot gets none."""
    drawn = [_drawn(one, x_reach, y_reach, log_x, log_y) for one in series]
    placed: list[_Place] = []
    labels = []
    for one, own in zip(series, drawn, strict=True):
        name = shortened(one.name, _LONGEST)
        if own.dots and not own.are_markers:
            places = _places(own.dots, _LETTER * len(name) + 8)
            placed.append(min(places, key=lambda place: _cost(place, own, placed, drawn)))
            labels.append(_annotation(name, placed[-1], log_x, log_y))
    return labels


def _drawn(series: Series, x_reach: Extent, y_reach: Extent, log_x: bool, log_y: bool) -> _Drawn:
    own = [
        (x, y)
        for x, y in zip(series.x, series.y, strict=True)
        if x is not None and y is not None and (x > 0 or not log_x) and (y > 0 or not log_y)
    ]
    are_markers = series.style == "markers"
    points = [*own, *_on_bars(series, log_y)] if are_markers else _refined(own, log_x, log_y)
    dots = [
        _Dot(fraction(x, x_reach, log=log_x), fraction(y, y_reach, log=log_y), x, y)
        for x, y in points
        if x_reach[0] <= x <= x_reach[1] and y_reach[0] <= y <= y_reach[1]
    ]
    return _Drawn(dots, are_markers)


def _on_bars(series: Series, log_y: bool) -> list[tuple[float, float]]:
    """So many points on each error bar."""
    if series.low is None or series.high is None:
        return []
    return [
        (x, _between(low, high, i / _ON_A_BAR, log_y))
        for x, low, high in zip(series.x, series.low, series.high, strict=True)
        if x is not None and low is not None and high is not None and (low > 0 or not log_y)
        for i in range(_ON_A_BAR + 1)
    ]


def _refined(points: list[tuple[float, float]], log_x: bool, log_y: bool) -> list[tuple[float, float]]:
    """So many points on the line, as it is drawn."""
    each = max(1, _ON_A_LINE // max(len(points) - 1, 1))
    return points[:1] + [
        (_between(x0, x1, i / each, log_x), _between(y0, y1, i / each, log_y))
        for (x0, y0), (x1, y1) in pairwise(points)
        for i in range(1, each + 1)
    ]


def _between(a: float, b: float, part: float, log: bool) -> float:
    return a * (b / a) ** part if log else a + (b - a) * part


def _places(dots: Sequence[_Dot], width: float) -> list[_Place]:
    """Beside dots of the line, where the label stays within the plot, on a phone as well if that can be."""
    kept = dots[:: max(1, len(dots) // _TRIED)]
    places = [_Place(dot, side, width) for dot in kept for side in _SIDES]
    wide = [place for place in places if place.is_inside(_WIDTHS[-1])]
    narrow = [place for place in wide if place.is_inside(_WIDTHS[0])]
    return narrow or wide or places


def _cost(
    place: _Place, own: _Drawn, placed: Sequence[_Place], drawn: Sequence[_Drawn]
) -> tuple[float, float]:
    """How much a label hides or comes near to, on a phone and on a laptop; among equals the one furthest right."""
    hidden = 0.0
    for each in drawn:
        room = _MARKER if each.are_markers else 2 if each is own else _OTHER
        hidden += each.cost * sum(place.hidden(each, room, plot) for plot in _WIDTHS)
    return sum(place.overlap(other, plot) for other in placed for plot in _WIDTHS) + hidden, -place.dot.across


def _annotation(name: str, place: _Place, log_x: bool, log_y: bool) -> dict[str, Any]:
    across, up = place.side
    return {
        "text": plot_text(name),
        "showarrow": False,
        "xref": "x",
        "x": math.log10(place.dot.x) if log_x else place.dot.x,
        "xanchor": {-1: "right", 0: "center", 1: "left"}[across],
        "xshift": across * _OFF / 2,
        "yref": "y",
        "y": math.log10(place.dot.y) if log_y else place.dot.y,
        "yanchor": "bottom" if up > 0 else "top",
        "yshift": up * (_OFF if across == 0 else 0),
        "bgcolor": PAPER,
        "opacity": 0.92,
        "borderpad": 2,
        "font": {"size": 12, "color": INK},
    }
