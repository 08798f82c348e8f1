"""Values marked and ranges shaded across a plot, with labels that do not meet."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from normfield.errors import InvalidInput
from normfield.report.axes import Extent, fraction
from normfield.report.formatting import plain_number
from normfield.report.palette import INK, MARK, VEIL, band_colour, series_colour
from normfield.report.text import one_line, plot_text

# Pixels of a row of labels, and above the plot without any; letters to a row that fit half a phone; the palette's grey.
_ROW, _FREE, _LETTERS, _GREY = 17, 12, 24, 6


@dataclass(frozen=True)
class Mark:
    """A value marked by a line across the plot.

    Parameters
    ----------
    at : float
        The value, in the axis's own unit (not its logarithm).
    label : str
        A few words.
    axis : "x" or "y"

    Raises
    ------
    InvalidInput
        If the value is not finite or the axis is neither x nor y.
    """

    at: float
    label: str
    axis: Literal["x", "y"] = "x"

    def __post_init__(self) -> None:
        _check(self.axis, self.at)


@dataclass(frozen=True)
class Band:
    """A range shaded across the plot, labelled like a mark.

    Parameters
    ----------
    low, high : float
        Its ends, in the axis's own unit.
    label : str
        A few words; may be empty.
    axis : "x" or "y"
    colour : int
        Index of the series whose colour it takes; grey by default.

    Raises
    ------
    InvalidInput
        If an end is not finite, the ends are out of order, or the axis is neither x nor y.
    """

    low: float
    high: float
    label: str = ""
    axis: Literal["x", "y"] = "x"
    colour: int = _GREY

    def __post_init__(self) -> None:
        _check(self.axis, self.low, self.high)
        if self.low > self.high:
            raise InvalidInput(
                expected="a band with low not above high",
                got=f"{self.low} and {self.high}",
                instead="swap them",
            )


@dataclass(frozen=True)
class Drawing:
    """Shapes and annotations as plotly takes them, and the pixels that the labels need above the plot."""

    shapes: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    top: int


def draw_regions(
    marks: Sequence[Mark], bands: Sequence[Band], x_extent: Extent, *, log_x: bool, log_y: bool
) -> Drawing:
    """Draw marks and bands; labels of the x axis get rows above the plot, those of the y axis stand on their line."""
    for one in (*bands, *marks):
        _check_shown(one, log_x if one.axis == "x" else log_y)
    shapes = [*map(_band_shape, bands), *map(_mark_shape, marks)]
    labels = _stacked([one for one in (*bands, *marks) if one.axis == "x" and one.label], x_extent, log_x)
    level = [one for one in (*bands, *marks) if one.axis == "y" and one.label]
    annotations = [_upright_label(label, log_x) for label in labels]
    annotations += [_level_label(one, i, log_y) for i, one in enumerate(level)]
    rows = sum(label.rows for label in labels)
    return Drawing(shapes + [_stub(label) for label in labels], annotations, _FREE + _ROW * rows)


@dataclass(frozen=True)
class _Label:
    """A label above the plot: where it stands, on which side of its line, and the rows below it."""

    at: float
    text: tuple[str, ...]
    rightwards: bool
    below: int
    colour: str

    @property
    def rows(self) -> int:
        return len(self.text)


def _stacked(upright: Sequence[Mark | Band], x_extent: Extent, log: bool) -> list[_Label]:
    """Labels run towards the wider side; the one nearest to that side is lowest, so that no line crosses it."""
    ends = [end for one in upright for end in _ends(one)]
    reach = (min(x_extent[0], *ends), max(x_extent[1], *ends)) if ends else x_extent
    centres = [fraction(_centre(one, log), reach, log=log) for one in upright]
    order = sorted(range(len(upright)), key=lambda i: (centres[i] >= 0.5, abs(centres[i] - 0.5)))
    labels: list[_Label] = []
    for i in order:
        one, rightwards = upright[i], centres[i] < 0.5
        text = tuple(textwrap.wrap(one_line(one.label), _LETTERS))
        below = sum(label.rows for label in labels)
        labels.append(_Label(_ends(one)[0 if rightwards else -1], text, rightwards, below, _colour(one)))
    return labels


def _ends(one: Mark | Band) -> tuple[float, ...]:
    return (one.at,) if isinstance(one, Mark) else (one.low, one.high)


def _centre(one: Mark | Band, log: bool) -> float:
    ends = _ends(one)
    return math.sqrt(ends[0] * ends[-1]) if log else (ends[0] + ends[-1]) / 2


def _colour(one: Mark | Band) -> str:
    return MARK if isinstance(one, Mark) else series_colour(one.colour)


def _across(axis: str, low: float, high: float) -> dict[str, Any]:
    """A stretch of one axis and the whole of the other."""
    other = "y" if axis == "x" else "x"
    return {
        f"{axis}ref": axis,
        f"{axis}0": low,
        f"{axis}1": high,
        f"{other}ref": "paper",
        f"{other}0": 0,
        f"{other}1": 1,
    }


def _mark_shape(mark: Mark) -> dict[str, Any]:
    line = {"color": MARK, "width": 1.4, "dash": "4px,3px"}
    return {"type": "line", "layer": "above", "line": line} | _across(mark.axis, mark.at, mark.at)


def _band_shape(band: Band) -> dict[str, Any]:
    filling = {"fillcolor": band_colour(series_colour(band.colour)), "line": {"width": 0}, "layer": "below"}
    return {"type": "rect"} | filling | _across(band.axis, band.low, band.high)


def _stub(label: _Label) -> dict[str, Any]:
    """The part of a line above the plot, up to its label."""
    return {
        "type": "line",
        "xref": "x",
        "x0": label.at,
        "x1": label.at,
        "yref": "paper",
        "ysizemode": "pixel",
        "yanchor": 1,
        "y0": 0,
        "y1": _ROW * (label.below + label.rows),
        "line": {"color": label.colour, "width": 1.4},
    }


def _upright_label(label: _Label, log: bool) -> dict[str, Any]:
    return {
        "text": "<br>".join(map(plot_text, label.text)),
        "showarrow": False,
        "xref": "x",
        "x": math.log10(label.at) if log else label.at,
        "xanchor": "left" if label.rightwards else "right",
        "xshift": 3 if label.rightwards else -3,
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "yshift": _ROW * label.below - 1,
        "align": "left" if label.rightwards else "right",
        "font": {"size": 12, "color": INK},
    }


def _level_label(one: Mark | Band, index: int, log: bool) -> dict[str, Any]:
    """On its line at the right, every second one at the left."""
    top = _ends(one)[-1]
    side = "right" if index % 2 == 0 else "left"
    return {
        "text": plot_text(one.label),
        "showarrow": False,
        "xref": "paper",
        "x": 1 if side == "right" else 0,
        "xanchor": side,
        "yref": "y",
        "y": math.log10(top) if log else top,
        "yanchor": "bottom",
        "bgcolor": VEIL,
        "borderpad": 1,
        "font": {"size": 12, "color": INK},
    }


def _check(axis: str, *values: float) -> None:
    if axis not in ("x", "y"):
        raise InvalidInput(expected="axis x or y", got=repr(axis), instead="choose one of them")
    for value in values:
        number = plain_number(value)
        if number is None or not math.isfinite(number):
            raise InvalidInput(
                expected="a finite number to mark on an axis", got=repr(value), instead="leave the mark out"
            )


def _check_shown(one: Mark | Band, log: bool) -> None:
    if log and min(_ends(one)) <= 0:
        raise InvalidInput(
            expected="a positive value to mark on a logarithmic axis",
            got=f"{min(_ends(one))}",
            instead="leave the mark out or draw it on a linear axis",
        )
