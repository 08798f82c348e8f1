"""Trials as they come out of a store, in the order in which they were given; pages of a table, never all of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from normfield.sweep.store.encoding import cells_of, unpacked
from normfield.sweep.store.records import Group, Trial
from normfield.sweep.task import Cell, Outcome

_GROUPS_AT_ONCE = 256

_RESULTS = (
    "SELECT results.trial, trials.key, trials.point, seats.grp, layout, cells, error, seconds FROM results"
    " JOIN trials ON trials.number = results.trial JOIN seats ON seats.trial = results.trial"
)
_CURVES = (
    "SELECT trial, curve_names.name, numbers, missing FROM curves"
    " JOIN curve_names ON curve_names.number = curves.name"
)


def fact(connection: sqlite3.Connection, name: str) -> Any:
    """What was written down when the store was made."""
    (text,) = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return json.loads(text)


def axes_of(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Names of the axes, in order."""
    return tuple(name for (name,) in connection.execute("SELECT name FROM axes ORDER BY number"))


def pending_groups(connection: sqlite3.Connection, axes: Sequence[str]) -> Iterator[Group]:
    """Groups without results, by number; read page by page, so that no reading lasts while they are run."""
    last = -1
    while page := connection.execute(
        "SELECT number, attempts, failures FROM groups WHERE committed IS NULL AND number > ?"
        " ORDER BY number LIMIT ?",
        (last, _GROUPS_AT_ONCE),
    ).fetchall():
        for number, attempts, failures in page:
            yield _group(connection, axes, number, attempts, failures)
        last = page[-1][0]


def _group(
    connection: sqlite3.Connection, axes: Sequence[str], number: int, attempts: int, failures: int
) -> Group:
    rows = connection.execute(
        "SELECT key, point FROM seats JOIN trials ON trials.number = seats.trial WHERE grp = ? ORDER BY seat",
        (number,),
    ).fetchall()
    keys, points = zip(*((key, _point(axes, text)) for key, text in rows), strict=True)
    return Group(number, keys, points, attempts, failures)


def finished_trials(connection: sqlite3.Connection, axes: Sequence[str]) -> Iterator[Trial]:
    """All that have results, by place, each with its curves."""
    layouts = layouts_of(connection)
    curves = _Curves(connection)
    for row in connection.execute(f"{_RESULTS} ORDER BY results.trial"):
        yield _trial(axes, layouts, row, curves.of(row[0]))


def trials_of(connection: sqlite3.Connection, axes: Sequence[str], keys: Iterable[str]) -> Iterator[Trial]:
    """Those of these keys that have results, in the order of the keys."""
    layouts = layouts_of(connection)
    for key in keys:
        row = connection.execute(f"{_RESULTS} WHERE trials.key = ?", (key,)).fetchone()
        if row is not None:
            yield _trial(axes, layouts, row, _curves_of(connection, row[0]))


def failed_trials(connection: sqlite3.Connection, axes: Sequence[str]) -> Iterator[Trial]:
    """Those with an error, by place, without reading the others."""
    layouts = layouts_of(connection)
    for row in connection.execute(f"{_RESULTS} WHERE error IS NOT NULL ORDER BY results.trial"):
        yield _trial(axes, layouts, row, _curves_of(connection, row[0]))


def layouts_of(connection: sqlite3.Connection) -> dict[int, tuple[str, ...]]:
    """Names of the cells of a trial, by the number of its layout."""
    rows = connection.execute("SELECT number, names FROM layouts")
    return {number: tuple(json.loads(names)) for number, names in rows}


class _Curves:
    """The table of curves read once beside the results, both in the order of trials."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(f"{_CURVES} ORDER BY trial, curves.name")
        self._trials = ((trial, _named(each)) for trial, each in groupby(rows, key=itemgetter(0)))
        self._next = next(self._trials, None)

    def of(self, trial: int) -> dict[str, tuple[float | None, ...]]:
        """The curves of a trial; trials are asked for in order."""
        if self._next is None or self._next[0] != trial:
            return {}
        curves = self._next[1]
        self._next = next(self._trials, None)
        return curves


def _curves_of(connection: sqlite3.Connection, trial: int) -> dict[str, tuple[float | None, ...]]:
    return _named(connection.execute(f"{_CURVES} WHERE trial = ? ORDER BY curves.name", (trial,)))


def _named(rows: Iterable[tuple[int, str, bytes, str | None]]) -> dict[str, tuple[float | None, ...]]:
    return {name: unpacked(numbers, missing) for _, name, numbers, missing in rows}


def _trial(
    axes: Sequence[str],
    layouts: Mapping[int, tuple[str, ...]],
    row: tuple[Any, ...],
    curves: Mapping[str, Sequence[float | None]],
) -> Trial:
    _, key, point, group, layout, cells, error, seconds = row
    values: dict[str, Cell] = dict(zip(layouts[layout], cells_of(cells), strict=True))
    return Trial(key, _point(axes, point), group, Outcome(values, curves, error, seconds))


def _point(axes: Sequence[str], text: str) -> dict[str, Cell]:
    return dict(zip(axes, cells_of(text), strict=True))
