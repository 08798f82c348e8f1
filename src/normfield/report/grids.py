"""A grid of values as a heat map draws it: read, checked and put in the order of its axes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from normfield.errors import InvalidInput
from normfield.report.grid_axes import GridAxis
from normfield.report.text import one_line
from normfield.report.vectors import vector

_T = TypeVar("_T")
Rows = tuple[tuple[_T, ...], ...]


@dataclass(frozen=True)
class Grid:
    """Values, rows upwards and columns to the right; a hatched cell has none, whatever was given there."""

    across: GridAxis
    up: GridAxis
    values: Rows[float | None]
    hatched: Rows[bool]
    value_title: str
    hatched_name: str

    @property
    def known(self) -> list[tuple[float, int, int]]:
        """Every value that is drawn, with its column and row."""
        return [
            (value, i, j)
            for j, row in enumerate(self.values)
            for i, value in enumerate(row)
            if value is not None
        ]

    @property
    def hatched_count(self) -> int:
        return sum(sum(row) for row in self.hatched)

    def hatched_stretches(self) -> Iterator[tuple[int, int, int]]:
        """Unbroken stretches of hatched cells in each column: its place, the first row, and the row after the last."""
        for i in range(len(self.across.centres)):
            start = None
            for j in range(len(self.up.centres) + 1):
                inside = j < len(self.up.centres) and self.hatched[j][i]
                if inside and start is None:
                    start = j
                if not inside and start is not None:
                    yield i, start, j
                    start = None


def read_grid(
    across: GridAxis,
    up: GridAxis,
    values: Iterable[Iterable[Any]],
    hatched: Iterable[Iterable[Any]] | None,
    value_title: str,
    hatched_name: str,
) -> Grid:
    """Rows as they are given become a grid in rising order of its axes.

    Raises
    ------
    InvalidInput
        Rows of another number than y or of another length than x, or something else than numbers in them.
    """
    numbers = [vector(row, f"row {j} of {value_title!r}") for j, row in enumerate(_rows(values, value_title))]
    given = [] if hatched is None else [tuple(map(bool, row)) for row in _rows(hatched, hatched_name)]
    mask = given or [(False,) * len(across.order)] * len(up.order)
    for what, rows in ((value_title, numbers), (hatched_name, mask)):
        _check_shape(what, rows, across, up)
    ordered, over = _ordered(numbers, across, up), _ordered(mask, across, up)
    shown = tuple(
        tuple(None if hidden else value for value, hidden in zip(row, hides, strict=True))
        for row, hides in zip(ordered, over, strict=True)
    )
    return Grid(across, up, shown, over, one_line(value_title), one_line(hatched_name))


def _rows(given: Any, what: str) -> list[Any]:
    try:
        return [list(row) for row in given]
    except TypeError:
        raise InvalidInput(
            expected=f"a row of {what!r} for each y, in it a value for each x",
            got=type(given).__name__,
            instead="give a list of lists or a two-dimensional array",
        ) from None


def _check_shape(what: str, rows: Sequence[Sequence[Any]], across: GridAxis, up: GridAxis) -> None:
    wanted = (len(up.order), len(across.order))
    lengths = {len(row) for row in rows} - {wanted[1]}
    if len(rows) != wanted[0] or lengths:
        got = f"{len(rows)} rows" if len(rows) != wanted[0] else f"a row of {min(lengths)}"
        raise InvalidInput(
            expected=f"{wanted[0]} rows (one for each y) of {wanted[1]} values (one for each x) of {what!r}",
            got=got,
            instead="transpose it if x and y are exchanged",
        )


def _ordered(rows: Sequence[Sequence[_T]], across: GridAxis, up: GridAxis) -> Rows[_T]:
    return tuple(tuple(rows[j][i] for i in across.order) for j in up.order)
