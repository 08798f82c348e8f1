"""The store: a sweep's trials and results in one file that survives whatever ends the driver."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from normfield.errors import InvalidInput
from normfield.sweep.store.columns import Columns
from normfield.sweep.store.committing import begin_attempt, commit_group, fail_attempt
from normfield.sweep.store.connection import plain_failures, reading, snapshot, transaction, writing
from normfield.sweep.store.contents import (
    axes_of,
    fact,
    failed_trials,
    finished_trials,
    pending_groups,
    trials_of,
)
from normfield.sweep.store.creation import described, make
from normfield.sweep.store.driving_lock import take_lock
from normfield.sweep.store.exports import check_target, write_table
from normfield.sweep.store.file_header import check_file
from normfield.sweep.store.frames import frame_of
from normfield.sweep.store.records import Group, Trial
from normfield.sweep.store.reopening import reopen_failed
from normfield.sweep.store.tables import Table, curve_table, trial_table
from normfield.sweep.store.totals import SweepStatus, read_status
from normfield.sweep.store.waves import add_wave, check_room
from normfield.sweep.task import Cell, Outcome, Point

if TYPE_CHECKING:
    import pandas as pd


class Store:
    """A sweep in one SQLite file: its trials, the groups in which they run, and what has come of them.

    Made by `create`, opened by `open`; a context manager. A store opened for writing has a driver's lock: there is one
    driver at a time, and any number of readers beside it. A group's results are committed in one transaction, so
    that after the death of a driver at any moment each group is there whole, once, or still to be run. A store belongs
    to the thread that opened it.

    Attributes
    ----------
    path : Path
        The file; ``PATH.lock`` beside it is the lock, ``PATH-wal`` and ``PATH-shm`` are there while it is open.
    axes : tuple of str
        Names of a point's values.
    settings : mapping of name to cell
        What was run at every point.
    recipe : str or None
        How the sweep was described, for going on with it.
    environment : mapping of name to text
        Versions and machine, as they were when the sweep was made.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> folder, points = TemporaryDirectory(), [{"seed": 0}, {"seed": 1}]
    >>> place = Path(folder.name) / "two.db"
    >>> with Store.create(place, axes=["seed"], points=points, groups=[[0, 1]], keys="ab", settings={}) as store:
    ...     for group in store.pending():
    ...         attempt = store.begin(group.number)
    ...         kept = store.commit(group.number, [Outcome({"loss": 0.5}), Outcome({"loss": float("inf")})])
    ...     print([trial.outcome.values for trial in store.results()])
    [{'loss': 0.5}, {'loss': inf}]
    >>> folder.cleanup()
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: sqlite3.Connection | None) -> None:
        self.path = path
        self._connection, self._lock = connection, lock
        with plain_failures(path):
            self.axes: tuple[str, ...] = axes_of(connection)
            self.settings: Mapping[str, Cell] = fact(connection, "settings")
            self.recipe: str | None = fact(connection, "recipe")
            self.environment: Mapping[str, str] = fact(connection, "environment")
            self._columns = Columns(connection, self.axes)
            self._driver = None if lock is None else self._sign()

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        axes: Sequence[str],
        points: Iterable[Point],
        groups: Iterable[Sequence[int]],
        keys: Iterable[str],
        settings: Mapping[str, Cell],
        recipe: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Store:
        """Make a new store and open it for writing; it is there whole or not at all.

        Parameters
        ----------
        path
            The new file, in a folder that is there.
        axes
            Names of a point's values.
        points, keys
            Read together, once, and never held; every point has all axes, every key is unique.
        groups
            Places of the points, from 0, in each group, in the order in which they run; each place once. Read after the
            points.
        settings, recipe, environment
            Kept as they are.

        Raises
        ------
        InvalidInput
            A file that is there, a folder that cannot be written, a point twice, groups that do not hold each place
            once, more trials than the disk has room for; nothing is left behind.
        StoreError
            No room on the disk.
        """
        place = Path(path).resolve()
        lock = take_lock(place)
        try:
            facts = described(settings, recipe, environment)
            make(place, axes=axes, points=points, groups=groups, keys=keys, facts=facts)
            return cls._opened(place, writing(place), lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, path: str | Path, *, write: bool = False) -> Store:
        """Open a store that is there: to read, beside a driver too, or as its driver.

        Raises
        ------
        InvalidInput
            No store at that place, one of a newer version, another driver, a file or folder that cannot be written.
        StoreError
            A truncated or damaged file.
        """
        place = Path(path).resolve()
        check_file(place)
        if not write:
            return cls._opened(place, reading(place), None)
        lock = take_lock(place)
        try:
            return cls._opened(place, writing(place), lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def _opened(cls, path: Path, connection: sqlite3.Connection, lock: sqlite3.Connection | None) -> Store:
        try:
            return cls(path, connection, lock)
        except BaseException:
            connection.close()
            raise

    def _sign(self) -> int:
        """Write down who drives, for the message to others; the driver's number."""
        with transaction(self._connection):
            row = (os.getpid(), platform.node(), time.time())
            cursor = self._connection.execute(
                "INSERT INTO drivers (process, host, started) VALUES (?, ?, ?)", row
            )
        return cursor.lastrowid or 0

    def close(self) -> None:
        """Give the file back; what was committed is there in any case."""
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, {'write' if self._lock is not None else 'read'})"

    def pending(self) -> Iterator[Group]:
        """Groups without results, by number; groups may be committed and added on the way."""
        with plain_failures(self.path):
            yield from pending_groups(self._connection, self.axes)

    def begin(self, number: int, worker: str = "") -> int:
        """Write that a group is begun, and by which worker; the attempt's number, from 1.

        Raises
        ------
        InvalidInput
            For a group that is not there or has its results.
        """
        with self._writing() as connection:
            return begin_attempt(connection, number, self._driver or 0, worker)

    def commit(self, number: int, outcomes: Sequence[Outcome]) -> bool:
        """Write a group's outcomes, in the order of its keys, all or none; False where it has its results already.

        Raises
        ------
        InvalidInput
            Not one outcome for each trial, a value that is no cell, a column with an axis's name.
        StoreError
            No room on the disk: the group is still to be run, all before it is kept.
        """
        with self._writing() as connection:
            return commit_group(connection, number, outcomes, self._columns, self._driver or 0)

    def failed(self, number: int, error: str) -> bool:
        """Write why an attempt died; the group is still to be run. False where it has its results already."""
        with self._writing() as connection:
            return fail_attempt(connection, number, error)

    def reopen_failed(self) -> int:
        """Have every group with a failed trial run again, as a whole: its results are taken back; how many groups."""
        with self._writing() as connection:
            return reopen_failed(connection)

    def add(self, points: Iterable[Point], groups: Iterable[Sequence[int]], keys: Iterable[str]) -> range:
        """Add a wave of trials, all or none; the numbers of its groups.

        Places in ``groups`` count from 0 at the first of these points.

        Raises
        ------
        InvalidInput
            As `create`; a key that the store has already.
        """
        check_room(self.path, points)
        with self._writing() as connection:
            return add_wave(connection, self.axes, points, groups, keys)

    def __contains__(self, key: object) -> bool:
        """Whether there is a trial of that key, finished or not."""
        with plain_failures(self.path):
            row = self._connection.execute("SELECT 1 FROM trials WHERE key = ?", (key,)).fetchone()
        return row is not None

    def results(self, keys: Iterable[str] | None = None) -> Iterator[Trial]:
        """Finished trials as they are at this moment: all, by place, or those of some keys, in the keys' order."""
        with snapshot(self.path) as connection:
            if keys is None:
                yield from finished_trials(connection, self.axes)
            else:
                yield from trials_of(connection, self.axes, keys)

    def errors(self) -> Iterator[Trial]:
        """Finished trials that failed, by place, as they are at this moment; the others are not read."""
        with snapshot(self.path) as connection:
            yield from failed_trials(connection, self.axes)

    def result(self, key: str) -> Outcome | None:
        """What a trial gave; None where it has not finished, or there is none of that key."""
        with plain_failures(self.path):
            found = next(trials_of(self._connection, self.axes, [key]), None)
        return None if found is None else found.outcome

    def status(self) -> SweepStatus:
        """How far the sweep is, in the same time whatever its size."""
        with plain_failures(self.path):
            return read_status(self._connection)

    def to_frame(self) -> pd.DataFrame:
        """Finished trials by place: key, group, axes, result columns, error, seconds, attempts.

        Reals are float64, in which a missing one is NaN; whole numbers of which some are missing are Int64.
        """
        with snapshot(self.path) as connection:
            return frame_of(trial_table(connection))

    def curves_frame(self) -> pd.DataFrame:
        """Every number of every curve: key, group, curve, epoch from 1, value; `export_curves` holds fewer at once."""
        with snapshot(self.path) as connection:
            return frame_of(curve_table(connection))

    def export(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the table of `to_frame` to a file, by its suffix: .csv, .parquet, or .json and .jsonl for JSON lines.

        It is written in chunks, beside the driver, and is there whole or not at all. None, NaN and infinities stay
        apart in Parquet (null, NaN, ±inf), CSV (empty, nan, ±inf) and JSON (null; null with a reason).

        Raises
        ------
        InvalidInput
            Another suffix, a file that is there and may not be overwritten, no pyarrow for Parquet.
        StoreError
            No room on the disk.
        """
        self._export(trial_table, Path(path), overwrite)

    def export_curves(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the table of `curves_frame` to a file, as `export` does."""
        self._export(curve_table, Path(path), overwrite)

    def _export(self, table: Callable[[sqlite3.Connection], Table], path: Path, overwrite: bool) -> None:
        check_target(path, overwrite)
        with snapshot(self.path) as connection:
            write_table(table(connection), path)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; the columns are read anew where it is undone."""
        if self._lock is None:
            raise InvalidInput(
                expected="a store opened for writing",
                got=f"{self.path} opened for reading",
                instead="open it with write=True",
            )
        with plain_failures(self.path):
            try:
                with transaction(self._connection):
                    yield self._connection
            except BaseException:
                self._columns.reload(self._connection)
                raise
