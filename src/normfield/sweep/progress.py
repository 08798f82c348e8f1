"""How far a sweep is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from normfield.sweep.task import Outcome

DIVERGED = "diverged"


@dataclass(frozen=True)
class Progress:
    """How far a sweep is, told when it begins and after every group.

    Attributes
    ----------
    finished, trials : int
        Trials with an outcome, those of earlier sessions included, and all trials.
    diverged, failed : int
        Finished ones whose run diverged, and those that gave an error.
    rate : float or None
        Trials a second since this session began; None until the first group is done.
    seconds_left : float or None
        What the rest takes at this rate.
    """

    finished: int
    trials: int
    diverged: int
    failed: int
    rate: float | None = None
    seconds_left: float | None = None

    def __str__(self) -> str:
        parts = [f"{self.finished:,} of {self.trials:,} trials", f"{self.diverged:,} diverged"]
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"{self.rate:.3g} a second"] if self.rate is not None else []
        parts += [f"{_span(self.seconds_left)} left"] if self.seconds_left else []
        return ", ".join(parts)


@dataclass
class Tally:
    """Counts that go on from what a store had."""

    trials: int
    finished: int
    diverged: int
    failed: int
    _before: int = field(init=False)
    _began: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._before = self.finished

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count a committed group."""
        self.finished += len(outcomes)
        self.failed += sum(outcome.error is not None for outcome in outcomes)
        self.diverged += sum(outcome.values.get("status") == DIVERGED for outcome in outcomes)

    def progress(self) -> Progress:
        """Where it stands now."""
        done, elapsed = self.finished - self._before, time.monotonic() - self._began
        rate = done / elapsed if done and elapsed > 0 else None
        left = None if rate is None else (self.trials - self.finished) / rate
        return Progress(self.finished, self.trials, self.diverged, self.failed, rate, left)


def _span(seconds: float) -> str:
    """A time in its largest fitting unit: ``40 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
