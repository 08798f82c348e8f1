"""Attempts, and the results of a group in one transaction with all that is counted."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Mapping, Sequence

from normfield.errors import InvalidInput
from normfield.sweep.store.columns import Columns
from normfield.sweep.store.encoding import packed, text_of
from normfield.sweep.task import Cell, Outcome

DIVERGED = "diverged"


def begin_attempt(connection: sqlite3.Connection, group: int, driver: int, worker: str) -> int:
    """Write that a group is begun; the attempt's number, from 1."""
    _, attempts, is_done = _group(connection, group)
    if is_done:
        raise InvalidInput(expected="a group that is still to be run", got=f"{group}, which has its results")
    return _begin(connection, group, attempts + 1, driver, worker)


def fail_attempt(connection: sqlite3.Connection, group: int, error: str) -> bool:
    """Close the group's last attempt with an error; False, and nothing written, where it has its results."""
    _, attempt, is_done = _group(connection, group)
    if is_done:
        return False
    connection.execute("UPDATE groups SET failures = failures + 1 WHERE number = ?", (group,))
    _end(connection, group, attempt, error)
    return True


def commit_group(
    connection: sqlite3.Connection, group: int, outcomes: Sequence[Outcome], columns: Columns, driver: int
) -> bool:
    """Write a group's results; False, and nothing written, where it has them already."""
    size, attempt, is_done = _group(connection, group)
    if is_done:
        return False
    if len(outcomes) != size:
        raise InvalidInput(expected=f"{size} outcomes for group {group}", got=f"{len(outcomes)}")
    seats = connection.execute("SELECT trial FROM seats WHERE grp = ? ORDER BY seat", (group,))
    trials = [trial for (trial,) in seats]
    _write_results(connection, trials, outcomes, columns)
    _write_curves(connection, trials, outcomes, columns)
    connection.execute("UPDATE groups SET committed = ? WHERE number = ?", (time.time(), group))
    if not _end(connection, group, attempt, None):
        _begin(connection, group, attempt + 1, driver, "")
        _end(connection, group, attempt + 1, None)
    _count(connection, outcomes)
    return True


def _group(connection: sqlite3.Connection, group: int) -> tuple[int, int, bool]:
    """How many trials it has, its last attempt, and whether it has its results."""
    row = connection.execute(
        "SELECT size, attempts, committed IS NOT NULL FROM groups WHERE number = ?", (group,)
    ).fetchone()
    if row is None:
        raise InvalidInput(expected="the number of a group in the store", got=f"{group}")
    return row[0], row[1], bool(row[2])


def _begin(connection: sqlite3.Connection, group: int, attempt: int, driver: int, worker: str) -> int:
    connection.execute("UPDATE groups SET attempts = ? WHERE number = ?", (attempt, group))
    connection.execute(
        "INSERT INTO attempts (grp, attempt, driver, worker, started) VALUES (?, ?, ?, ?, ?)",
        (group, attempt, driver, worker, time.time()),
    )
    return attempt


def _end(connection: sqlite3.Connection, group: int, attempt: int, error: str | None) -> bool:
    """Close an attempt; False where none of that number is open."""
    closed = connection.execute(
        "UPDATE attempts SET ended = ?, error = ? WHERE grp = ? AND attempt = ? AND ended IS NULL",
        (time.time(), _words(error), group, attempt),
    )
    return closed.rowcount == 1


def _write_results(
    connection: sqlite3.Connection, trials: Sequence[int], outcomes: Sequence[Outcome], columns: Columns
) -> None:
    rows = []
    for trial, outcome in zip(trials, outcomes, strict=True):
        cells = columns.checked(outcome.values)
        layout = columns.layout(connection, cells)
        rows.append((trial, layout, text_of([*cells.values()]), _words(outcome.error), _seconds(outcome)))
    connection.executemany("INSERT INTO results VALUES (?, ?, ?, ?, ?)", rows)


def _write_curves(
    connection: sqlite3.Connection, trials: Sequence[int], outcomes: Sequence[Outcome], columns: Columns
) -> None:
    rows = [
        (trial, columns.curve(connection, name), *packed(name, curve))
        for trial, outcome in zip(trials, outcomes, strict=True)
        for name, curve in outcome.curves.items()
    ]
    connection.executemany("INSERT INTO curves VALUES (?, ?, ?, ?)", rows)


def _count(connection: sqlite3.Connection, outcomes: Sequence[Outcome]) -> None:
    connection.execute(
        "UPDATE totals SET finished = finished + ?, failed = failed + ?, diverged = diverged + ?,"
        " groups_done = groups_done + 1, seconds = seconds + ?",
        (
            len(outcomes),
            sum(outcome.error is not None for outcome in outcomes),
            sum(has_diverged(outcome.values) for outcome in outcomes),
            math.fsum(outcome.seconds for outcome in outcomes),
        ),
    )


def has_diverged(values: Mapping[str, Cell]) -> bool:
    """Whether a result column named ``status`` says so."""
    return values.get("status") == DIVERGED


def _words(error: str | None) -> str | None:
    """An error as text that can be stored: what is no character, as in some file names, is spelled out."""
    return None if error is None else error.encode("utf-8", "backslashreplace").decode("utf-8")


def _seconds(outcome: Outcome) -> float:
    if not (math.isfinite(outcome.seconds) and outcome.seconds >= 0):
        raise InvalidInput(expected="seconds of a trial, finite and not below 0", got=f"{outcome.seconds}")
    return float(outcome.seconds)
