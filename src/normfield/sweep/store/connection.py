"""Connections to the file of a store, and SQLite's failures in plain words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from normfield.errors import InvalidInput, StoreError
from normfield.sweep.store.file_header import check_file, log_size

_WAIT = 60.0
"""Seconds to wait for another process's short transaction."""

_CACHE = "PRAGMA cache_size = -65536"
"""64 MiB, in SQLite's units of KiB with a minus sign."""

_LOG = "PRAGMA wal_autocheckpoint = 4096"
"""Pages of 4 KiB after which the log is brought into the file: four times SQLite's own, which flushes less often."""

_ANY = "SELECT trials FROM totals"


def connect(path: Path, mode: str, *, immutable: bool = False) -> sqlite3.Connection:
    """SQLite's connection to an existing file ("ro", "rw") or a new one ("rwc"); transactions are begun by hand."""
    uri = f"{path.as_uri()}?mode={mode}" + ("&immutable=1" if immutable else "")
    found = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT)
    found.execute(_CACHE)
    return found


def writing(path: Path) -> sqlite3.Connection:
    """A connection for the driver: write-ahead; a log that a killed driver left is read back.

    A committed group survives the death of the process at any moment. ``synchronous = NORMAL`` flushes at checkpoints
    only: where the machine loses power the last groups may be lost, whole, and are pending again.
    """
    check_file(path)
    survived = log_size(path) > 0
    with _opened(path, "rw") as found:
        if survived:
            _check_pages(path, found)
        found.execute("PRAGMA journal_mode = WAL")
        found.execute("PRAGMA synchronous = NORMAL")
        found.execute(_LOG)
        with transaction(found):
            found.execute("UPDATE totals SET trials = trials")
    return found


def reading(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, beside a driver too; also in a folder that cannot be written."""
    check_file(path)
    # Only a connection that may write removes the empty log that reading makes; one that is there is left alone.
    try:
        with _opened(path, "ro" if log_size(path) else "rw") as found:
            found.execute("PRAGMA query_only = ON")
            found.execute(_ANY).fetchone()
    except InvalidInput:
        return _unchanging(path)
    return found


def _unchanging(path: Path) -> sqlite3.Connection:
    """Where no log can be made, the file is read as one that nobody writes."""
    if log_size(path):
        raise InvalidInput(
            expected="a folder that can be written, to read the log of a store whose driver was killed",
            got=f"{path.parent}",
            instead=f"copy {path.name} and {path.name}-wal to another folder",
        )
    with _opened(path, "ro", immutable=True) as found:
        found.execute(_ANY).fetchone()
    return found


@contextmanager
def _opened(path: Path, mode: str, *, immutable: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that is closed where its preparation fails."""
    with plain_failures(path):
        found = connect(path, mode, immutable=immutable)
        try:
            yield found
        except BaseException:
            found.close()
            raise


def _check_pages(path: Path, connection: sqlite3.Connection) -> None:
    """After a driver was killed: every page, since the header cannot tell what the log still holds."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreError(f"{path} is damaged ({_line(verdict)}); restore it from a copy")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that sees the store as it was at one moment, whatever the driver commits meanwhile."""
    connection = reading(path)
    try:
        with plain_failures(path):
            connection.execute("BEGIN")
            yield connection
    finally:
        connection.close()


@contextmanager
def plain_failures(path: Path) -> Iterator[None]:
    """SQLite's errors as one line each, with what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _plain(path, error) from error


def _plain(path: Path, error: sqlite3.Error) -> Exception:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return StoreError(
            f"no room on the disk for {path}: the last write was undone, all before it is kept; "
            "free some space and go on"
        )
    if name.startswith("SQLITE_READONLY") or name.startswith("SQLITE_CANTOPEN") or name == "SQLITE_PERM":
        return InvalidInput(
            expected="a store that can be written, in a folder that can be written",
            got=f"{path} ({_line(error)})",
            instead="change its permissions, or copy it elsewhere",
        )
    if name.startswith("SQLITE_CORRUPT") or name == "SQLITE_NOTADB":
        return StoreError(f"{path} is damaged or truncated ({_line(error)}); restore it from a copy")
    if name.startswith("SQLITE_BUSY"):
        return StoreError(
            f"{path} was kept busy by another process for {_WAIT:g} s; all before is kept; try again"
        )
    return StoreError(
        f"{path} could not be read or written ({_line(error)}): the last write was undone, all before it is kept"
    )


def _line(words: object) -> str:
    return " ".join(str(words).split())
