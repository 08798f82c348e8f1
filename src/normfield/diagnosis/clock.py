"""The budget of a diagnosis as time that runs."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Seconds that may be spent, and the reading of ``time.monotonic()`` from which they count."""

    budget: float
    began: float

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
        """Seconds that are left, less the little that writing up what was found takes; never negative."""
        return max(self.budget - self.spent - self._for_writing_up, 0.0)

    @property
    def _for_writing_up(self) -> float:
        return min(1.0, 0.02 * self.budget)
