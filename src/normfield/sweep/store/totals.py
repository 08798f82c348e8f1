"""How far a sweep is: counters that every commit keeps, so that asking costs the same at any size."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

_COUNTED = ("trials", "finished", "failed", "diverged", "groups", "groups_done", "seconds")
_WINDOW = 200
"""Attempts over which the rate is taken."""


@dataclass(frozen=True)
class SweepStatus:
    """Counts of a sweep's trials and groups.

    Attributes
    ----------
    trials, finished : int
        How many there are, and how many have their outcome.
    failed, diverged : int
        Of the finished ones: those with an error, and those whose column ``status`` is "diverged".
    groups, groups_done, attempts : int
        Groups, those with their results, and how often one was begun.
    seconds : float
        Sum of the finished trials' seconds.
    rate : float or None
        Trials for each second of the clock, over the last groups of the last driver; None before the first.
    last_commit : str or None
        When the last group was committed, UTC.
    """

    trials: int
    finished: int
    failed: int
    diverged: int
    groups: int
    groups_done: int
    attempts: int
    seconds: float
    rate: float | None
    last_commit: str | None

    @property
    def complete(self) -> bool:
        """Whether every trial has its outcome."""
        return self.finished == self.trials

    @property
    def seconds_left(self) -> float | None:
        """Unfinished trials over the rate; None without a rate."""
        return (self.trials - self.finished) / self.rate if self.rate else None

    def to_json(self) -> str:
        """The same as JSON text."""
        return json.dumps(asdict(self) | {"complete": self.complete, "seconds_left": self.seconds_left})

    def __str__(self) -> str:
        ended = f"{self.finished:,} of {self.trials:,} trials finished"
        return f"{ended}, {self.diverged:,} diverged, {self.failed:,} failed; {self._pace()}"

    def _pace(self) -> str:
        groups = f"{self.groups_done:,} of {self.groups:,} groups in {self.attempts:,} attempts"
        if self.complete or self.rate is None or self.seconds_left is None:
            return groups
        return f"{groups}; {self.rate:.3g} trials/s, {self.seconds_left:.0f} s left at that rate"


def read_status(connection: sqlite3.Connection) -> SweepStatus:
    """Counters and the rate, from a handful of rows."""
    row = connection.execute(f"SELECT {', '.join(_COUNTED)} FROM totals").fetchone()
    counts: dict[str, Any] = dict(zip(_COUNTED, row, strict=True))
    recent = connection.execute(
        "SELECT attempts.started, attempts.ended, groups.size FROM attempts"
        " JOIN groups ON groups.number = attempts.grp"
        " WHERE attempts.number > (SELECT max(number) FROM attempts) - ?"
        " AND driver = (SELECT driver FROM attempts ORDER BY number DESC LIMIT 1)"
        " AND ended IS NOT NULL AND error IS NULL",
        (_WINDOW,),
    ).fetchall()
    (attempts,) = connection.execute("SELECT coalesce(max(number), 0) FROM attempts").fetchone()
    return SweepStatus(**counts, attempts=attempts, rate=_rate(recent), last_commit=_last_commit(recent))


def _rate(recent: list[tuple[float, float, int]]) -> float | None:
    if not recent:
        return None
    span = max(ended for _, ended, _ in recent) - min(started for started, _, _ in recent)
    return sum(size for _, _, size in recent) / span if span > 0 else None


def _last_commit(recent: list[tuple[float, float, int]]) -> str | None:
    if not recent:
        return None
    last = max(ended for _, ended, _ in recent)
    return datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds")
