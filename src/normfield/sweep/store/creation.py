"""A new store, built beside its place and put there whole."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from normfield.errors import InvalidInput
from normfield.sweep.store.connection import connect, plain_failures, transaction
from normfield.sweep.store.encoding import cell
from normfield.sweep.store.file_header import log_size, partial
from normfield.sweep.store.schema import APPLICATION, RESERVED, TABLES, VERSION
from normfield.sweep.store.waves import add_wave, check_room
from normfield.sweep.task import Cell, Point


def check_place(path: Path) -> None:
    """Refuse a place where a store, or the log of one, lies already."""
    if path.exists():
        raise InvalidInput(
            expected="a new file for a new store",
            got=f"{path}, which is there",
            instead="resume it, or choose another name",
        )
    if log_size(path):
        raise InvalidInput(
            expected="a new file for a new store",
            got=f"{path}-wal, the log of a store whose file is gone",
            instead="move the log away, or choose another name",
        )


def check_axes(axes: Sequence[str]) -> None:
    """Refuse axes without a name, twice the same, or named as a column of every table."""
    for axis in axes:
        if not isinstance(axis, str) or not axis or list(axes).count(axis) > 1:
            raise InvalidInput(expected="axes with names of their own", got=f"{list(axes)}")
        if axis in RESERVED:
            raise InvalidInput(
                expected=f"an axis not named {', '.join(RESERVED[:-1])} or {RESERVED[-1]}",
                got=axis,
                instead="those are columns of every table; choose another name",
            )


def make(
    path: Path,
    *,
    axes: Sequence[str],
    points: Iterable[Point],
    groups: Iterable[Sequence[int]],
    keys: Iterable[str],
    facts: Mapping[str, object],
) -> None:
    """Write the file at ``path``; what is there on the way is `partial`, and goes when anything is wrong.

    The caller holds the lock. A partial file of a process that was killed is begun anew.
    """
    check_place(path)
    check_axes(axes)
    check_room(path, points)
    unfinished = partial(path)
    unfinished.unlink(missing_ok=True)
    try:
        with plain_failures(path):
            _build(unfinished, axes, points, groups, keys, facts)
        _flush(unfinished)
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def described(
    settings: Mapping[str, Cell],
    recipe: str | None,
    environment: Mapping[str, str] | None,
) -> dict[str, object]:
    """What is kept of a sweep besides its trials."""
    return {
        "settings": {name: cell(name, value) for name, value in settings.items()},
        "recipe": recipe,
        "environment": dict(environment or {}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "normfield": version("normfield"),
    }


def _build(
    path: Path,
    axes: Sequence[str],
    points: Iterable[Point],
    groups: Iterable[Sequence[int]],
    keys: Iterable[str],
    facts: Mapping[str, object],
) -> None:
    connection = connect(path, "rwc")
    try:
        # The file is nobody's until it is renamed: nothing needs undoing, and one flush at the end is enough.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.executescript(TABLES)
        with transaction(connection):
            _state(connection, axes, facts)
            add_wave(connection, axes, points, groups, keys)
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _state(connection: sqlite3.Connection, axes: Sequence[str], facts: Mapping[str, object]) -> None:
    rows = [(name, json.dumps(value)) for name, value in facts.items()]
    connection.executemany("INSERT INTO facts VALUES (?, ?)", rows)
    connection.executemany("INSERT INTO axes VALUES (?, ?, '')", enumerate(axes))


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
