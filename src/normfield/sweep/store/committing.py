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
    if _size(connection, group) is None:
        raise InvalidInput(expected="a group that is still to be run", got=f"{group}, which has its results")
    connection.execute("UPDATE groups SET attempts = attempts + 1 WHERE number = ?", (group,))
    (attempt,) = connection.execute("SELECT attempts FROM groups WHERE number = ?", (group,)).fetchone()
    connection.execute(
        "INSERT INTO attempts (grp, attempt, driver, worker, started) VALUES (?, ?, ?, ?, ?)",
        (group, attempt, driver, worker, time.time()),
    )
    connection.execute("UPDATE totals SET attempts = attempts + 1")
    return attempt


def fail_attempt(connection: sqlite3.Connection, group: int, error: str) -> bool:
    """Close the group's last attempt with an error; False, and nothing written, where it has its results."""
    if _size(connection, group) is None:
        return False
    connection.execute("UPDATE groups SET failures = failures + 1 WHERE number = ?", (group,))
    _end_attempt(connection, group, error)
    return True


def _end_attempt(connection: sqlite3.Connection, group: int, error: str | None) -> None:
    """Close the group's last attempt."""
    connection.execute(
        "UPDATE attempts SET ended = ?, error = ? WHERE grp = ? AND ended IS NULL"
        " AND attempt = (SELECT attempts FROM groups WHERE number = ?)",
        (time.time(), _words(error), group, group),
    )


def commit_group(
    connection: sqlite3.Connection, group: int, outcomes: Sequence[Outcome], columns: Columns, driver: int
) -> bool:
    """Write a group's results; False, and nothing written, where it has them already."""
    size = _size(connection, group)
    if size is None:
        return False
    if len(outcomes) != size:
        raise InvalidInput(expected=f"{size} outcomes for group {group}", got=f"{len(outcomes)}")
    trials = [
        trial
        for (trial,) in connection.execute("SELECT trial FROM seats WHERE grp = ? ORDER BY seat", (group,))
    ]
    if not _is_begun(connection, group):
        begin_attempt(connection, group, driver, "")
    _write_results(connection, trials, outcomes, columns)
    _write_curves(connection, trials, outcomes, columns)
    connection.execute("UPDATE groups SET committed = ? WHERE number = ?", (time.time(), group))
    _end_attempt(connection, group, None)
    _count(connection, outcomes)
    return True


def _size(connection: sqlite3.Connection, group: int) -> int | None:
    """How many trials a group that is still to be run has; None where it has its results."""
    row = connection.execute("SELECT size, committed FROM groups WHERE number = ?", (group,)).fetchone()
    if row is None:
        raise InvalidInput(expected="the number of a group in the store", got=f"{group}")
    return row[0] if row[1] is None else None


def _is_begun(connection: sqlite3.Connection, group: int) -> bool:
    open_one = "SELECT 1 FROM attempts WHERE grp = ? AND ended IS NULL"
    return connection.execute(open_one, (group,)).fetchone() is not None


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
