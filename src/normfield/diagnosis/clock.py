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
        What writing up, printing and leaving take on a processor of one's own, in seconds; a tenth of the budget where
        that is less.
    processor_began
        The reading of ``time.process_time()`` then.
    """

    budget: float
    began: float
    reserve: float = 0.1
    processor_began: float = 0.0

    @classmethod
    def started(cls, budget: float) -> Clock:
        """A clock that counts from now."""
        return cls(budget, time.monotonic(), processor_began=time.process_time())

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds that are left, less the reserve; never negative."""
        return max(self.budget - self.spent - min(self.reserve * self._slowdown, self.budget / 10), 0.0)

    @property
    def _slowdown(self) -> float:
        """How many seconds have passed for each that the processor gave, since others may use it too; 1 at least."""
        return max(self.spent / max(time.process_time() - self.processor_began, 1e-3), 1.0)
