"""Trials and groups written into a store: the first ones when it is made, later ones as waves."""

from __future__ import annotations

import math
import operator
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from pathlib import Path

from normfield.errors import InvalidInput
from normfield.sweep.store.encoding import cell, cells_of, kind, text_of
from normfield.sweep.task import Cell, Point

MOST_TRIALS = 10**8
BYTES_PER_TRIAL = 500
"""What a trial takes on disk with its results, of eight columns and four short curves: 440 to 480 measured."""

_TRIALS_AT_ONCE = 1000
_ABSENT = object()


def check_room(path: Path, points: Iterable[Point]) -> None:
    """Refuse, where their number is known beforehand, more points than the disk can take with their results.

    Raises
    ------
    InvalidInput
        Above `MOST_TRIALS`, or above what is free at `BYTES_PER_TRIAL`.
    """
    count = _known_count(points)
    _check_count(count)
    needed, free = count * BYTES_PER_TRIAL, shutil.disk_usage(path.parent).free
    if needed > free:
        raise InvalidInput(
            expected=f"room for {count:,} trials, about {needed / 1e9:.3g} GB on disk",
            got=f"{free / 1e9:.3g} GB free in {path.parent}",
            instead="free some space, take fewer values on an axis, or choose another folder",
        )


def add_wave(
    connection: sqlite3.Connection,
    axes: Sequence[str],
    points: Iterable[Point],
    groups: Iterable[Sequence[int]],
    keys: Iterable[str],
) -> range:
    """Write trials and the groups of their places, inside a transaction of the caller's; the groups' numbers."""
    trials, first_group = connection.execute("SELECT trials, groups FROM totals").fetchone()
    count = _add_trials(connection, axes, points, keys, trials)
    size = _add_groups(connection, groups, trials, count, first_group)
    connection.execute("UPDATE totals SET trials = trials + ?, groups = groups + ?", (count, size))
    return range(first_group, first_group + size)


def _add_trials(
    connection: sqlite3.Connection,
    axes: Sequence[str],
    points: Iterable[Point],
    keys: Iterable[str],
    first: int,
) -> int:
    kinds = _AxisKinds(connection)
    rows = _trial_rows(kinds, points, keys, first)
    count = 0
    while chunk := list(islice(rows, _TRIALS_AT_ONCE)):
        count += len(chunk)
        _check_count(first + count)
        try:
            connection.executemany("INSERT INTO trials VALUES (?, ?, ?)", chunk)
        except sqlite3.IntegrityError:
            raise _same_key(connection, axes, chunk) from None
    kinds.write(connection)
    return count


class _AxisKinds:
    """The axes, and the kinds of cells that points have on each."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT name, kinds FROM axes ORDER BY number")
        self._kinds = {name: set(kinds) for name, kinds in rows}

    def cells(self, point: Point) -> list[Cell]:
        """A point's cells in the order of axes."""
        if point.keys() != self._kinds.keys():
            raise InvalidInput(
                expected=f"a point with the axes {', '.join(self._kinds)}",
                got=f"one with {', '.join(point) or 'none'}",
                instead="give each point all axes",
            )
        cells = [cell(axis, point[axis]) for axis in self._kinds]
        for kinds, value in zip(self._kinds.values(), cells, strict=True):
            kinds.add(kind(value))
        return cells

    def write(self, connection: sqlite3.Connection) -> None:
        rows = [("".join(sorted(kinds)), axis) for axis, kinds in self._kinds.items()]
        connection.executemany("UPDATE axes SET kinds = ? WHERE name = ?", rows)


def _trial_rows(
    kinds: _AxisKinds, points: Iterable[Point], keys: Iterable[str], first: int
) -> Iterator[tuple[int, str, str]]:
    for place, (point, key) in enumerate(zip_longest(points, keys, fillvalue=_ABSENT)):
        if point is _ABSENT or key is _ABSENT:
            missing = "points" if point is _ABSENT else "keys"
            raise InvalidInput(expected="a key for every point", got=f"only {place} {missing}")
        if not isinstance(key, str) or not key:
            raise InvalidInput(expected="a key that is a text", got=f"{key!r} for the point {point}")
        yield first + place, key, text_of(kinds.cells(point))  # type: ignore[arg-type]


def _same_key(
    connection: sqlite3.Connection, axes: Sequence[str], chunk: Sequence[tuple[int, str, str]]
) -> InvalidInput:
    """Which two points of a refused chunk, or of it and those before, have one key."""
    for number, key, text in chunk:
        found = connection.execute("SELECT number, point FROM trials WHERE key = ?", (key,)).fetchone()
        if found is not None and found[0] != number:
            one, other = (dict(zip(axes, cells_of(each), strict=True)) for each in (found[1], text))
            return InvalidInput(
                expected="every point once",
                got=f"{other} at place {number} with the key of {one} at place {found[0]}",
                instead="leave one out",
            )
    return InvalidInput(expected="every point once", got="one twice")


def _add_groups(
    connection: sqlite3.Connection, groups: Iterable[Sequence[int]], first_trial: int, count: int, first: int
) -> int:
    """The number of groups written; together they hold each of the wave's trials once."""
    number = first
    seated = 0
    for number, places in enumerate(groups, first + 1):
        seats = [(number - 1, seat, first_trial + _place(place, count)) for seat, place in enumerate(places)]
        if not seats:
            raise InvalidInput(expected="at least one place in every group", got="an empty group")
        try:
            connection.executemany("INSERT INTO seats VALUES (?, ?, ?)", seats)
        except sqlite3.IntegrityError:
            raise InvalidInput(
                expected="every place in one group", got=f"one twice, the second time in {list(places)[:10]}"
            ) from None
        connection.execute("INSERT INTO groups (number, size) VALUES (?, ?)", (number - 1, len(seats)))
        seated += len(seats)
    if seated != count:
        raise InvalidInput(expected=f"groups that hold all {count} places", got=f"{seated} of them")
    return number - first


def _place(place: int, count: int) -> int:
    if not 0 <= operator.index(place) < count:
        raise InvalidInput(expected=f"places from 0 to {count - 1} in the groups", got=f"{place}")
    return operator.index(place)


def _known_count(points: Iterable[Point]) -> float:
    """How many points there are, 0 where that is not known; above what a length can be, infinite."""
    try:
        return operator.length_hint(points, 0)
    except OverflowError:
        return math.inf


def _check_count(count: float) -> None:
    if count > MOST_TRIALS:
        raise InvalidInput(
            expected=f"at most {MOST_TRIALS:,} trials in one store",
            got=f"{count:,}" if count < math.inf else f"more than {sys.maxsize:.1e}",
            instead="take fewer values on an axis, or several stores",
        )
