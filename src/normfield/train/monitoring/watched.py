"""One instrument's part in a record."""

from __future__ import annotations

from dataclasses import dataclass

from normfield.train.monitoring.accounts import Account


@dataclass(frozen=True)
class Watched:
    """One instrument: its schedule and what became of it.

    Attributes
    ----------
    name : str
    every : int
        Its interval in steps.
    own : bool
        Whether it is a function of the caller's.
    attempts, runs, failures : int
        How often it was called, answered and failed.
    seconds : float
        Of all attempts.
    late, longest_wait : int
        Attempts that came after their turn, and by how many steps at most.
    switched_off : bool
        After three failures in a row.
    last_failure : str
    """

    name: str
    every: int
    own: bool
    attempts: int
    runs: int
    failures: int
    seconds: float
    late: int
    longest_wait: int
    switched_off: bool
    last_failure: str

    @classmethod
    def of(cls, name: str, every: int, account: Account, own: bool) -> Watched:
        """From its account."""
        return cls(
            name,
            every,
            own,
            account.attempts,
            account.runs,
            account.failures,
            account.seconds,
            account.late,
            account.longest_wait,
            account.is_switched_off,
            account.last_failure,
        )
