"""Axes of a figure: their style, and ticks that stay readable on a phone."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from typing import Any

from normfield.errors import InvalidInput
from normfield.report.palette import GRID, MUTED
from normfield.report.text import one_line, plot_text

# Plotly sets powers a quarter larger than other ticks, hence the smaller size for them.
_DECADES_OF_NICE_STEPS, _DECADES_WRITTEN_OUT = 0.8, 2.0
_LETTERS = 46  # of a line across a phone

Extent = tuple[float, float]


def extent(values: Iterable[float | None], title: str, *, log: bool) -> Extent:
    """Smallest and largest value that the axis can show."""
    shown = [value for value in values if value is not None and (value > 0 or not log)]
    if not shown:
        raise InvalidInput(
            expected=f"at least one {'positive' if log else 'finite'} value on the axis {title!r}",
            got="none",
            instead="draw it on a linear axis or leave the figure out" if log else "leave the figure out",
        )
    return min(shown), max(shown)


def axis(title: str, reach: Extent | None, *, log: bool) -> dict[str, Any]:
    """Style an axis; over more than two decades its ticks are powers of ten."""
    style: dict[str, Any] = {
        "title": {"text": _folded(title), "standoff": 10, "font": {"size": 13, "color": MUTED}},
        "automargin": True,
        "gridcolor": GRID,
        "gridwidth": 1,
        "zeroline": False,
        "linecolor": GRID,
        "showline": True,
        "ticks": "outside",
        "ticklen": 5,
        "tickcolor": "rgba(0,0,0,0)",
        "tickfont": {"size": 12, "color": MUTED},
        "nticks": 7,
        "type": "log" if log else "linear",
    }
    return style | (_log_ticks(reach) if log and reach else {})


def _folded(title: str) -> str:
    """A title on at most two lines that fit a phone."""
    return "<br>".join(
        map(plot_text, textwrap.wrap(one_line(title), _LETTERS, max_lines=2, placeholder=" …"))
    )


def fraction(value: float, reach: Extent, *, log: bool) -> float:
    """Where a value lies between the axis's ends, as a number from 0 to 1."""
    low, high = (math.log10(end) for end in reach) if log else reach
    place = math.log10(value) if log else value
    return 0.5 if high == low else min(max((place - low) / (high - low), 0.0), 1.0)


def _log_ticks(reach: Extent) -> dict[str, Any]:
    decades = math.log10(reach[1]) - math.log10(reach[0])
    if decades <= _DECADES_WRITTEN_OUT:
        return {"tickformat": ".4~g"} | ({"dtick": "D2"} if decades > _DECADES_OF_NICE_STEPS else {})
    return {
        "dtick": max(1, math.ceil(decades / 7)),
        "exponentformat": "power",
        "showexponent": "all",
        "tickfont": {"size": 10, "color": MUTED},
    }
