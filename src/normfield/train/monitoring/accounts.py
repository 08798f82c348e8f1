"""What every instrument has cost, and whether it may run again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from normfield.train.monitoring.shares import fair_shares

MOST_FAILURES = 3
"""Failures in a row after which an instrument is switched off."""


@dataclass
class Account:
    """One instrument's runs.

    Attributes
    ----------
    attempts, runs : int
        How often it was called, and how often it answered.
    seconds : float
        Of all attempts.
    late : int
        How many attempts came after their turn.
    longest_wait : int
        By how many steps at most.
    failures, in_a_row : int
        All failures, and those since the last answer.
    last_failure : str
        In words.
    """

    attempts: int = 0
    runs: int = 0
    seconds: float = 0.0
    late: int = 0
    longest_wait: int = 0
    failures: int = 0
    in_a_row: int = 0
    last_failure: str = ""
    _after_first: float = 0.0

    @property
    def expected(self) -> float:
        """Seconds that the next attempt may take: the mean, the first left out, which loads what others find loaded."""
        return self._after_first / (self.attempts - 1) if self.attempts > 1 else self.seconds

    @property
    def is_switched_off(self) -> bool:
        """Whether it failed too often."""
        return self.in_a_row >= MOST_FAILURES

    def attempted(self, seconds: float, late: int) -> None:
        """Book an attempt that came `late` steps after its turn."""
        if self.attempts:
            self._after_first += seconds
        self.attempts += 1
        self.seconds += seconds
        self.late += late > 0
        self.longest_wait = max(self.longest_wait, late)

    def answered(self) -> None:
        """Count an answer."""
        self.runs += 1
        self.in_a_row = 0

    def failed(self, words: str) -> None:
        """Count a failure."""
        self.failures += 1
        self.in_a_row += 1
        self.last_failure = words


class Accounts:
    """All instruments, and the bound on what they take of the training time together.

    Parameters
    ----------
    every : mapping of name to int
        The intervals, in steps.
    overhead : float or None
        Measuring may take this part of the training time; None for no bound.
    """

    def __init__(self, every: Mapping[str, int], overhead: float | None) -> None:
        self._every, self._overhead = dict(every), overhead
        self._of = {name: Account() for name in every}

    def __getitem__(self, name: str) -> Account:
        return self._of[name]

    def affordable(self, names: Iterable[str], steps: int, training_seconds: float) -> list[str]:
        """Those that may run now.

        The first time is free, since only it tells what an instrument costs; it counts in all that follow: one may run
        again when what it has taken, and the next time with it, is within its share of the training time.
        """
        known = [name for name in names if not self[name].is_switched_off]
        if self._overhead is None:
            return known
        shares = fair_shares(self._demands(steps, training_seconds), self._overhead)
        return [
            name
            for name in known
            if not self[name].attempts
            or self[name].seconds + self[name].expected <= shares[name] * training_seconds
        ]

    def _demands(self, steps: int, training_seconds: float) -> dict[str, float]:
        """What part of the training time each would take on schedule, of those that ran and still run."""
        step = training_seconds / max(steps, 1)
        return {
            name: account.expected / (self._every[name] * step) if step > 0 else 1.0
            for name, account in self._of.items()
            if account.attempts and not account.is_switched_off
        }
