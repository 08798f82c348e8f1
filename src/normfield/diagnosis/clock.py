"""The budget of a diagnosis as time that runs."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Seconds that may be spent.

    Attributes
    ----------
    budget
        All of them.
    began
        The reading of ``time.monotonic()`` from which they count.
    reserve
        What writing up, printing and leaving take; a tenth of the budget where that is less.
    """

    budget: float
    began: float
    reserve: float = 0.1

    @classmethod
    def started(cls, budget: float) -> Clock:
        """A clock that counts from now."""
        return cls(budget, time.monotonic())

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds that are left, less the reserve; never negative."""
        return max(self.budget - self.spent - min(self.reserve, self.budget / 10), 0.0)
