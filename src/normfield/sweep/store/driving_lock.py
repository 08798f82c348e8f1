"""One driver at a time: a lock that the operating system gives back when its process ends, however it ends."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from normfield.errors import InvalidInput, NormfieldError
from normfield.sweep.store.connection import reading


def take_lock(path: Path) -> sqlite3.Connection:
    """The right to drive the store at ``path``, until the connection is closed or the process ends.

    It is SQLite's own lock on an empty file ``PATH.lock`` beside the store, which stays there. It binds the processes
    of one machine; on a network folder it is only as good as that folder's locks.

    Raises
    ------
    InvalidInput
        Another driver has it, or the folder cannot be written.
    """
    name = path.with_name(path.name + ".lock")
    found: sqlite3.Connection | None = None
    try:
        found = sqlite3.connect(name, isolation_level=None, timeout=0.0)
        found.execute("PRAGMA journal_mode = MEMORY")
        found.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        if found is not None:
            found.close()
        raise _refusal(path, error) from error
    return found


def _refusal(path: Path, error: sqlite3.Error) -> InvalidInput:
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
        return InvalidInput(
            expected="a store that no other process is driving",
            got=f"{path}, driven {_driver(path)}",
            instead="wait for it or stop it; reading works meanwhile",
        )
    return InvalidInput(
        expected="a folder in which a store can be written",
        got=f"{path.parent} ({error})",
        instead="create it, change its permissions, or choose another",
    )


def _driver(path: Path) -> str:
    """Who drives it, as the driver itself wrote down."""
    try:
        connection = reading(path)
    except NormfieldError:
        return "by a process that is still making it"
    row = connection.execute("SELECT process, host, started FROM drivers ORDER BY number DESC").fetchone()
    connection.close()
    if row is None:
        return "by a process that has only just begun"
    process, host, started = row
    return (
        f"by process {process} on {host} since {datetime.fromtimestamp(started, UTC):%Y-%m-%d %H:%M:%S} UTC"
    )
