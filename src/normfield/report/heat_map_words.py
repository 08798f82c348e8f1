"""What a heat map shows, for readers who cannot see it: sentences with its numbers, and the numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence

from normfield.report.alternatives import series_in_words
from normfield.report.formatting import format_number
from normfield.report.grids import Grid
from normfield.report.series import Series
from normfield.report.tables import Cell, Column, Table
from normfield.report.text import one_line

_MOST = 40


def heat_map_in_words(title: str, grid: Grid, series: Sequence[Series]) -> str:
    """Axes, the lowest and the highest value and where they are, what is hatched, and each line."""
    count = len(grid.across.centres) * len(grid.up.centres)
    sentences = [
        f"Heat map of {grid.value_title} over {one_line(grid.across.title)} (across) and "
        f"{one_line(grid.up.title)} (up), {count} cells."
    ]
    if grid.known:
        sentences.append(f"Lowest {_at(grid, min(grid.known))}, highest {_at(grid, max(grid.known))}.")
    if grid.hatched_count:
        sentences.append(f"{grid.hatched_name}: {grid.hatched_count} cells.")
    sentences += [series_in_words(one) for one in series]
    words = " ".join(sentences)
    return f"{one_line(title).rstrip('.')}. {words}" if title else words


def heat_map_table(title: str, grid: Grid) -> Table:
    """A row for each row of cells from the top, a column for each column; of a large grid some, evenly spread."""
    across, up = _spread(len(grid.across.centres)), _spread(len(grid.up.centres))[::-1]
    rows: list[list[Cell]] = [
        [grid.up.names[j], *(grid.hatched_name if grid.hatched[j][i] else grid.values[j][i] for i in across)]
        for j in up
    ]
    corner = f"{one_line(grid.up.title)} ╲ {one_line(grid.across.title)}"
    columns = [Column(corner, align="right"), *(Column(grid.across.names[i], align="right") for i in across)]
    notes = [grid.value_title] if title else []
    if len(rows) * len(across) < len(grid.up.centres) * len(grid.across.centres):
        notes.append(
            f"{len(rows)} of {len(grid.up.centres)} rows and {len(across)} of {len(grid.across.centres)} columns, "
            "evenly spread."
        )
    return Table(title or grid.value_title, columns, rows, notes)


def _at(grid: Grid, found: tuple[float, int, int]) -> str:
    value, i, j = found
    return f"{format_number(value)} at ({grid.across.names[i]}, {grid.up.names[j]})"


def _spread(count: int) -> list[int]:
    if count <= _MOST:
        return list(range(count))
    return [round(i * (count - 1) / (_MOST - 1)) for i in range(_MOST)]
