"""One axis of a grid of cells: where each column or row of cells stands, where it ends, and its ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from normfield.errors import InvalidInput
from normfield.report.axes import axis
from normfield.report.formatting import format_number
from normfield.report.palette import MUTED
from normfield.report.text import one_line, plot_text, shortened
from normfield.report.vectors import Numbers, vector

# Ticks at the cells themselves up to so many, if none is nearer to the next than this part of the axis.
_MOST_TICKS, _NEAREST = 9, 0.06
_LONE_DECADES, _LONE = 0.3, 1.0


@dataclass(frozen=True)
class GridAxis:
    """One axis of a grid of cells.

    ``order`` are the places of the values as given, in rising order of the axis; ``centres``, ``edges`` (one more) and
    ``names`` stand in that order, centres and edges in the axis's own unit. Words stand at 0, 1, … in their own order.
    """

    title: str
    log: bool
    order: tuple[int, ...]
    centres: tuple[float, ...]
    edges: tuple[float, ...]
    names: tuple[str, ...]
    are_words: bool

    @property
    def reach(self) -> tuple[float, float]:
        """Where the first cell begins and the last one ends."""
        return self.edges[0], self.edges[-1]

    def holds(self, value: float | None) -> bool:
        """Whether a value lies among the cells."""
        return value is not None and self.edges[0] <= value <= self.edges[-1]

    def style(self) -> dict[str, Any]:
        """The axis as plotly takes it: as wide as the cells, ticks at the cells where they are few."""
        ends = [math.log10(end) if self.log else end for end in self.reach]
        plain = axis(self.title, self.reach, log=self.log) | {"range": ends, "showgrid": False}
        return plain | (self._ticks_at_cells() if self._has_room_for_ticks() else {})

    def _has_room_for_ticks(self) -> bool:
        if self.are_words:
            return True
        places = [_place(centre, self.log) for centre in self.centres]
        whole = _place(self.edges[-1], self.log) - _place(self.edges[0], self.log)
        return len(places) <= _MOST_TICKS and all(b - a >= _NEAREST * whole for a, b in pairwise(places))

    def _ticks_at_cells(self) -> dict[str, Any]:
        return {
            "tickmode": "array",
            "tickvals": list(self.centres),
            "ticktext": [plot_text(shortened(name)) for name in self.names],
            "tickfont": {"size": 12, "color": MUTED},
        }


def grid_axis(values: Numbers | Sequence[str], title: str, *, log: bool) -> GridAxis:
    """Place cells at the values; the border of two is half-way between them, on a logarithmic axis in decades.

    Raises
    ------
    InvalidInput
        No value, one twice or missing, words on a logarithmic axis, or a value that it cannot show.
    """
    given = list(values)
    if not given:
        raise InvalidInput(
            expected=f"at least one value on the axis {title!r}", got="none", instead="leave the figure out"
        )
    if all(isinstance(value, str) for value in given):
        return _of_words([one_line(value) for value in given], title, log)
    numbers = _numbers(given, title, log)
    order = tuple(sorted(range(len(numbers)), key=numbers.__getitem__))
    centres = tuple(numbers[i] for i in order)
    for one, other in pairwise(centres):
        if one == other:
            raise InvalidInput(
                expected=f"every value once on the axis {title!r}",
                got=f"{one:g} twice",
                instead="give one row or column for each",
            )
    names = tuple(format_number(centre) for centre in centres)
    return GridAxis(title, log, order, centres, _edges(centres, log), names, are_words=False)


def _of_words(words: list[str], title: str, log: bool) -> GridAxis:
    if log:
        raise InvalidInput(
            expected=f"numbers on the logarithmic axis {title!r}",
            got="words",
            instead="draw it on a linear axis",
        )
    count = len(words)
    centres = tuple(map(float, range(count)))
    edges = tuple(i - 0.5 for i in range(count + 1))
    return GridAxis(title, log, tuple(range(count)), centres, edges, tuple(words), are_words=True)


def _numbers(given: Sequence[Any], title: str, log: bool) -> list[float]:
    numbers = vector(given, f"values of the axis {title!r}")
    shown = [number for number in numbers if number is not None and (number > 0 or not log)]
    if len(shown) < len(numbers):
        raise InvalidInput(
            expected=f"{'positive' if log else 'finite'} values on the axis {title!r}",
            got=", ".join(
                str(each) for each, number in zip(given, numbers, strict=True) if number not in shown
            ),
            instead="leave these cells out" + (", or draw it on a linear axis" if log else ""),
        )
    return shown


def _edges(centres: tuple[float, ...], log: bool) -> tuple[float, ...]:
    """Borders half-way; the outer cells are as wide outwards as inwards."""
    places = [_place(centre, log) for centre in centres]
    if len(places) == 1:
        lone = (_LONE_DECADES if log else _LONE) / 2
        borders = [places[0] - lone, places[0] + lone]
    else:
        inner = [(a + b) / 2 for a, b in pairwise(places)]
        borders = [2 * places[0] - inner[0], *inner, 2 * places[-1] - inner[-1]]
    return tuple(10**border if log else border for border in borders)


def _place(value: float, log: bool) -> float:
    return math.log10(value) if log else value
