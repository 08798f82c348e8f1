"""Tables on a terminal, wide or narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normfield.report.tables import Table, cell_text, columns_of, row_texts, sides_of, table_text
from normfield.report.text import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_PIPE_WIDTH = 100


def print_table(table: Table, console: Console | None = None) -> None:
    """Print the table to a terminal, or as plain text of 100 letters a line into a pipe or file.

    A terminal too narrow for its columns gets one block of ``header: value`` lines per row instead.

    Parameters
    ----------
    table : Table
    console : rich.console.Console, optional
        Standard output by default.
    """
    from rich.console import Console
    from rich.measure import Measurement

    console = Console() if console is None else console
    if not console.is_terminal:
        _print_plain(console, table_text(table, _PIPE_WIDTH))
        return
    drawn = _rich_table(table)
    if Measurement.get(console, console.options.update(width=10_000), drawn).minimum <= console.width:
        _print_drawn(console, table, drawn)
    else:
        _print_plain(console, _records_text(table))


def _records_text(table: Table) -> str:
    """One block per row, for a terminal narrower than the table."""
    labels = [column.label for column in columns_of(table)]
    blocks = [
        "\n".join(
            [texts[0], *(f"  {label}: {text}" for label, text in zip(labels[1:], texts[1:], strict=True))]
        )
        for texts in (row_texts(table, row) for row in table.rows)
    ]
    return "\n\n".join([one_line(table.title), *blocks, *map(one_line, table.footnotes)])


def _print_plain(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _print_drawn(console: Console, table: Table, drawn: RichTable) -> None:
    """Title and footnotes stand outside the drawing, which would fold them to its own width."""
    from rich.text import Text

    console.print(Text(one_line(table.title), style="bold"))
    console.print(drawn)
    for note in table.footnotes:
        console.print(Text(one_line(note), style="dim"))


def _rich_table(table: Table) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, side in enumerate(sides_of(table)):
        _add_column(drawn, table, i, side)
    for row in table.rows:
        drawn.add_row(*map(Text, row_texts(table, row)))
    return drawn


def _add_column(drawn: RichTable, table: Table, i: int, side: str) -> None:
    """Numbers are never broken; words wrap, down to twelve letters a line."""
    column = columns_of(table)[i]
    longest = max((len(cell_text(row[i], column.digits)) for row in table.rows), default=0)
    drawn.add_column(
        one_line(column.label).replace("[", "\\["),
        justify="right" if side == "right" else "left",
        no_wrap=side == "right" or longest <= 12,
        min_width=min(longest, 12),
        header_style="bold",
    )
