"""The two tables that come out of a store, trials and curves: their columns with types, their rows in chunks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from normfield.sweep.store.contents import layouts_of
from normfield.sweep.store.encoding import cells_of, unpacked
from normfield.sweep.task import Cell

_ROWS_AT_ONCE = 10_000

_TRIALS = (
    "SELECT trials.key, seats.grp, point, layout, cells, error, seconds, attempts FROM results"
    " JOIN trials ON trials.number = results.trial JOIN seats ON seats.trial = results.trial"
    " JOIN groups ON groups.number = seats.grp ORDER BY results.trial"
)
_CURVES = (
    "SELECT trials.key, seats.grp, curve_names.name, numbers, missing FROM curves"
    " JOIN trials ON trials.number = curves.trial JOIN seats ON seats.trial = curves.trial"
    " JOIN curve_names ON curve_names.number = curves.name ORDER BY curves.trial, curves.name"
)


@dataclass(frozen=True)
class Column:
    """A column's name, and letters of the kinds of cells that are in it, as `encoding.kind` gives them."""

    name: str
    kinds: str

    @property
    def type(self) -> str:
        """One of "truth", "whole", "real", "text", "mixed", "none"; missing cells are of no account.

        Whole numbers among reals are real where float64 holds them exactly, and mixed where it does not.
        """
        kinds = frozenset(self.kinds) - {"n"}
        for type_, members in _TYPES.items():
            if kinds <= members:
                return type_
        return "mixed"

    @property
    def has_missing(self) -> bool:
        """Whether a cell of it is None."""
        return "n" in self.kinds


_TYPES = {
    "none": frozenset(),
    "truth": frozenset("b"),
    "whole": frozenset("il"),
    "real": frozenset("if"),
    "text": frozenset("s"),
}


@dataclass(frozen=True)
class Table:
    """Columns, and chunks of rows that can be gone through once."""

    columns: Sequence[Column]
    chunks: Iterator[list[Sequence[Cell]]]


def trial_table(connection: sqlite3.Connection) -> Table:
    """Key, group, axes, result columns, error, seconds and attempts of every finished trial."""
    axes = [Column(*row) for row in connection.execute("SELECT name, kinds FROM axes ORDER BY number")]
    results = _result_columns(connection)
    before, after = (
        [Column("key", "s"), Column("group", "i")],
        [Column("error", "ns"), Column("seconds", "f")],
    )
    columns = [*before, *axes, *results, *after, Column("attempts", "i")]
    return Table(columns, _chunks(_trial_rows(connection, [column.name for column in results])))


def curve_table(connection: sqlite3.Connection) -> Table:
    """Key, group, curve, epoch from 1, and value, a row for each number."""
    columns = [Column("key", "s"), Column("group", "i"), Column("curve", "s"), Column("epoch", "i")]
    return Table([*columns, Column("value", "fn")], _chunks(_curve_rows(connection)))


def _result_columns(connection: sqlite3.Connection) -> list[Column]:
    """A column that some trial has not at all has missing cells."""
    rows = connection.execute("SELECT name, kinds FROM columns ORDER BY number")
    layouts = layouts_of(connection).values()
    return [
        Column(name, kinds if all(name in names for names in layouts) else f"{kinds}n")
        for name, kinds in rows
    ]


def _trial_rows(connection: sqlite3.Connection, results: Sequence[str]) -> Iterator[list[Cell]]:
    places = _places(layouts_of(connection), results)
    for key, group, point, layout, cells, error, seconds, attempts in connection.execute(_TRIALS):
        values = cells_of(cells)
        if layout in places:
            values = [None if place is None else values[place] for place in places[layout]]
        yield [key, group, *cells_of(point), *values, error, seconds, attempts]


def _places(layouts: Mapping[int, tuple[str, ...]], results: Sequence[str]) -> dict[int, list[int | None]]:
    """Where each column's cell is, for layouts that are not just the columns."""
    return {
        number: [names.index(name) if name in names else None for name in results]
        for number, names in layouts.items()
        if names != tuple(results)
    }


def _curve_rows(connection: sqlite3.Connection) -> Iterator[tuple[Cell, ...]]:
    for key, group, name, numbers, missing in connection.execute(_CURVES):
        for epoch, value in enumerate(unpacked(numbers, missing), 1):
            yield key, group, name, epoch, value


def _chunks(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Cell]]]:
    source = iter(rows)
    while chunk := list(islice(source, _ROWS_AT_ONCE)):
        yield chunk
