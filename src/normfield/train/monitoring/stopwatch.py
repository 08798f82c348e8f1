"""Time in training and time in the monitor, parted."""

from __future__ import annotations

from collections.abc import Callable


class Stopwatch:
    """Adds up the seconds between `left` and `arrived` (training) and between `arrived` and `left` (watching).

    Parameters
    ----------
    clock : callable
        Seconds, such as ``time.perf_counter``.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._mark = clock()
        self.training, self.watching = 0.0, 0.0

    def restarted(self) -> None:
        """Training begins now; what went before is forgotten."""
        self._mark = self._clock()

    def arrived(self) -> None:
        """From training to watching."""
        self.training += self._lap()

    def left(self) -> None:
        """From watching back to training."""
        self.watching += self._lap()

    def _lap(self) -> float:
        now = self._clock()
        before, self._mark = self._mark, now
        return now - before
