"""A table as data with headers and units, and as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from normfield.errors import InvalidInput
from normfield.report.formatting import format_number, plain_number
from normfield.report.text import one_line

Cell = str | float | bool | None

_NARROWEST = 24


@dataclass(frozen=True)
class Column:
    """A column's header, unit, side and significant digits.

    Parameters
    ----------
    header : str
        What the column holds, in words.
    unit : str
        Shown after the header, lighter.
    align : "left" or "right", optional
        By default a column of numbers stands on the right, any other on the left.
    digits : int
        Significant digits of its numbers.
    """

    header: str
    unit: str = ""
    align: Literal["left", "right"] | None = None
    digits: int = 3

    @property
    def label(self) -> str:
        return one_line(f"{self.header} ({self.unit})" if self.unit else self.header)


@dataclass(frozen=True)
class Table:
    """A titled table of words and numbers.

    Parameters
    ----------
    title : str
        The caption.
    columns : sequence of Column or str
        A string stands for a column with that header.
    rows : sequence of sequences
        One value per column: a string, a number, a boolean, or None where there is none. The first value names its row.
    footnotes : sequence of str
        Lines below the table; the place to say why a value is missing.

    Raises
    ------
    InvalidInput
        If there is no column, a row has another number of values than there are columns, or a value is none of those.
    """

    title: str
    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Cell]]
    footnotes: Sequence[str] = ()

    def __post_init__(self) -> None:
        columns = tuple(Column(column) if isinstance(column, str) else column for column in self.columns)
        object.__setattr__(self, "columns", columns)
        object.__setattr__(
            self, "rows", tuple(_checked_row(row, len(columns), i) for i, row in enumerate(self.rows))
        )
        object.__setattr__(self, "footnotes", tuple(self.footnotes))
        if not columns:
            raise InvalidInput(
                expected="a table with at least one column", got="none", instead="name its columns"
            )

    def __str__(self) -> str:
        return table_text(self)


def table_text(table: Table, width: int | None = None) -> str:
    """Write the table as plain text, every column as wide as its widest value.

    Parameters
    ----------
    table : Table
    width : int, optional
        Letters in a line; the widest column of words, and the notes, wrap to fit, down to 24 letters.

    Returns
    -------
    str
        Title, header, a rule, the rows, footnotes; no colour, no line longer than it must be.
    """
    body = [row_texts(table, row) for row in table.rows]
    header = [column.label for column in columns_of(table)]
    widths = [max(map(_length, column)) for column in zip(header, *body, strict=True)]
    sides = sides_of(table)
    if width is not None:
        widths = _fitted(widths, sides, width)
    rows = [line for cells in (header, *body) for line in _lines(cells, widths, sides)]
    heads = len(_lines(header, widths, sides))
    rule = "  ".join("─" * width for width in widths)
    notes = (
        _notes(table) if width is None else [line for note in _notes(table) for line in _wrapped(note, width)]
    )
    return "\n".join([one_line(table.title), "", *rows[:heads], rule, *rows[heads:], *notes])


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _fitted(widths: list[int], sides: list[str], width: int) -> list[int]:
    """The widest column of words made narrower by as much as the line is too long."""
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    words = [i for i, side in enumerate(sides) if side == "left"]
    if excess <= 0 or not words:
        return widths
    widest = max(words, key=lambda i: widths[i])
    narrow = max(widths[widest] - excess, min(widths[widest], _NARROWEST))
    return [narrow if i == widest else given for i, given in enumerate(widths)]


def _lines(cells: Sequence[str], widths: Sequence[int], sides: Sequence[str]) -> list[str]:
    """A row's cells side by side, each wrapped to its column."""
    stacks = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    padded = [
        [
            _padded(text, width - _length(text), side)
            for text in stack + [""] * (max(map(len, stacks)) - len(stack))
        ]
        for stack, width, side in zip(stacks, widths, sides, strict=True)
    ]
    return ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]


def _wrapped(text: str, width: int) -> list[str]:
    """A text whose letters are wide may stay longer than the width."""
    if _length(text) <= width:
        return [text]
    return textwrap.wrap(text, width) or [""]


def _checked_row(row: Sequence[Cell], width: int, index: int) -> tuple[Cell, ...]:
    if isinstance(row, str) or len(row) != width:
        raise InvalidInput(
            expected=f"{width} values in row {index} of the table",
            got=repr(row) if isinstance(row, str) else str(len(row)),
            instead="give one value per column, None where there is none",
        )
    for cell in row:
        if not (cell is None or isinstance(cell, str | bool) or plain_number(cell) is not None):
            raise InvalidInput(
                expected="a string, a number, a boolean or None in a table's cell",
                got=type(cell).__name__,
                instead="convert it first, for example with float(value)",
            )
    return tuple(row)


def columns_of(table: Table) -> tuple[Column, ...]:
    return tuple(column for column in table.columns if isinstance(column, Column))


def sides_of(table: Table) -> list[str]:
    return [column.align or _natural_side(table, i) for i, column in enumerate(columns_of(table))]


def _natural_side(table: Table, i: int) -> str:
    given = [row[i] for row in table.rows if row[i] is not None]
    return "right" if given and all(plain_number(cell) is not None for cell in given) else "left"


def cell_text(cell: Cell, digits: int) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str):
        return one_line(cell)
    return format_number(plain_number(cell), digits)


def row_texts(table: Table, row: Sequence[Cell]) -> list[str]:
    return [cell_text(cell, column.digits) for cell, column in zip(row, columns_of(table), strict=True)]


def _padded(text: str, missing: int, side: str) -> str:
    return " " * missing + text if side == "right" else text + " " * missing


def _notes(table: Table) -> list[str]:
    return ["", *map(one_line, table.footnotes)] if table.footnotes else []
