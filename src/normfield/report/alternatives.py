"""What a figure shows, for readers who cannot see it: a sentence with its numbers, and the numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from normfield.report.formatting import format_number
from normfield.report.regions import Mark
from normfield.report.series import Series
from normfield.report.tables import Cell, Column, Table
from normfield.report.text import one_line

_MOST_ROWS = 60

Values = Sequence[float | None]


def lines_in_words(
    title: str, x_title: str, y_title: str, series: Sequence[Series], marks: Sequence[Mark]
) -> str:
    """Axes, where each series begins and ends and how far it reaches, and what is marked."""
    sentences = [f"Chart of {one_line(y_title)} against {one_line(x_title)}."]
    sentences += [series_in_words(one) for one in series]
    if marks:
        named = ", ".join(f"{one_line(mark.label)} at {format_number(mark.at)}" for mark in marks)
        sentences.append(f"Marked: {named}.")
    return _joined(title, " ".join(sentences))


def bars_in_words(title: str, value_title: str, labels: Sequence[str], stacks: Mapping[str, Values]) -> str:
    """Every bar's label with its total, and its largest part where it has several."""
    bars = ", ".join(_bar_in_words(one_line(label), stacks, i) for i, label in enumerate(labels))
    return _joined(title, f"Bars of {one_line(value_title)}: {bars}.")


def lines_table(title: str, x_title: str, y_title: str, series: Sequence[Series]) -> Table:
    """One column per series where all share x; else one row per point. Long series are thinned evenly."""
    first = tuple(series[0].x)
    names = [one.name for one in series]
    shared = all(tuple(one.x) == first for one in series) and all(one.low is None for one in series)
    if shared and len(set(names)) == len(names):
        rows: list[list[Cell]] = [list(row) for row in zip(first, *(one.y for one in series), strict=True)]
        columns = [Column(x_title, align="right"), *(Column(name, align="right") for name in names)]
        return _thinned(title or y_title, columns, rows, _MOST_ROWS)
    rows = [row for one in series for row in _points(one)]
    ranged = any(one.low is not None for one in series)
    columns = [Column("series"), Column(x_title, align="right"), Column(y_title, align="right")]
    columns += [Column("from", align="right"), Column("to", align="right")] if ranged else []
    return _thinned(title or y_title, columns, [row[: len(columns)] for row in rows], 3 * _MOST_ROWS)


def bars_table(title: str, labels: Sequence[str], stacks: Mapping[str, Values], value_title: str) -> Table:
    """One row per bar, one column per kind."""
    columns = [Column("bar"), *(Column(kind, align="right") for kind in stacks)]
    rows = [[label, *(values[i] for values in stacks.values())] for i, label in enumerate(labels)]
    return Table(title or value_title, columns, rows, [] if value_title == title else [value_title])


def _points(series: Series) -> list[list[Cell]]:
    gaps: Sequence[float | None] = [None] * len(series.x)
    low, high = (
        series.low if series.low is not None else gaps,
        series.high if series.high is not None else gaps,
    )
    kept = _kept(len(series.x), _MOST_ROWS)
    return [[series.name, series.x[i], series.y[i], low[i], high[i]] for i in kept]


def _kept(count: int, most: int) -> list[int]:
    """At most so many indices, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _thinned(title: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], most: int) -> Table:
    kept = _kept(len(rows), most)
    notes = [f"{len(kept)} of {len(rows)} points, evenly spread."] if len(kept) < len(rows) else []
    return Table(title, list(columns), [rows[i] for i in kept], notes)


def series_in_words(series: Series) -> str:
    """Where a series begins and ends and how far it reaches."""
    points = [(x, y) for x, y in zip(series.x, series.y, strict=True) if x is not None and y is not None]
    name = one_line(series.name)
    if not points:
        return f"{name}: no value."
    if len(points) == 1:
        return f"{name}: {format_number(points[0][1])} at {format_number(points[0][0])}{_bar(series)}."
    (first_x, first), (last_x, last) = points[0], points[-1]
    low, high = min(y for _, y in points), max(y for _, y in points)
    ends = (
        f"{name}: from {format_number(first)} at {format_number(first_x)} "
        f"to {format_number(last)} at {format_number(last_x)}"
    )
    inside = (low, high) == (min(first, last), max(first, last))
    return f"{ends}." if inside else f"{ends}, between {format_number(low)} and {format_number(high)}."


def _bar(series: Series) -> str:
    if series.low is None or series.high is None or series.low[0] == series.high[0]:
        return ""
    return f" (from {format_number(series.low[0])} to {format_number(series.high[0])})"


def _bar_in_words(label: str, stacks: Mapping[str, Values], i: int) -> str:
    parts = {kind: values[i] for kind, values in stacks.items()}
    known = {kind: value for kind, value in parts.items() if value is not None}
    if not known:
        return f"{label} no value"
    total = f"{label} {format_number(sum(known.values()))}"
    if len(stacks) < 2:
        return total
    largest = max(known, key=lambda kind: abs(known[kind]))
    return f"{total} (mostly {one_line(largest)})"


def _joined(title: str, sentence: str) -> str:
    return f"{one_line(title).rstrip('.')}. {sentence}" if title else sentence
