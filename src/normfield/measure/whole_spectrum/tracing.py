"""From samples of a trace to an estimate with the standard error that was asked for.

A few plain samples tell how many more are needed. Where that is more than deflation costs, the part within the
deflated directions is computed exactly, and only the rest is sampled; where it is more than all rows cost, the trace
is computed exactly. Which of the three is taken depends on the samples' spread only.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from normfield.measure.eigenvalues.lanczos import CONVERGED, NOT_FINITE
from normfield.measure.whole_spectrum.probes import Probes

PILOT = 8
"""Samples from which the spread is first told; at least so many stand behind every standard error."""

EXACT = 32
"""Unasked, the exact trace is taken where it costs no more than so many samples."""

GROWTH = 4
"""The number of samples grows by at most this factor at a time, since their spread is itself an estimate."""

SHORT = "not converged: the budget ended before the standard error was small enough"


@dataclass(frozen=True)
class TraceGoal:
    """To which relative standard error, at what cost at most; ``deadline`` is a reading of ``time.monotonic()``."""

    tolerance: float
    max_probes: int
    deadline: float


@dataclass(frozen=True, eq=False)
class Sampled:
    """Known exactly, plus the mean of samples of the rest.

    Attributes
    ----------
    known : numpy.ndarray
        (parameters,).
    samples : numpy.ndarray
        (n, parameters), n = 0 where everything is known.
    is_deflated : bool
        Whether the samples are of the part outside U only.
    status : str
    """

    known: np.ndarray
    samples: np.ndarray
    is_deflated: bool = False
    status: str = CONVERGED

    @property
    def value(self) -> np.ndarray:
        """The estimate (parameters,)."""
        return self.known + (self.samples.mean(0) if len(self.samples) else 0.0)

    def spread(self) -> float:
        """Standard deviation of one sample of the whole trace."""
        return float(self.samples.sum(1).std(ddof=1)) if len(self.samples) > 1 else 0.0

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are."""
        return bool(np.isfinite(self.known).all() and np.isfinite(self.samples).all())

    def needed(self, tolerance: float) -> float:
        """How many samples the relative standard error takes."""
        allowed = tolerance * abs(float(self.value.sum()))
        spread = self.spread()
        if spread == 0:
            return 0
        return (spread / allowed) ** 2 if allowed > 0 else math.inf


def sample_trace(probes: Probes, goal: TraceGoal, method: str) -> Sampled:
    """The trace of each parameter's block, by the method ("exact", "probes", or the cheaper for "auto")."""
    if method == "exact" or (method == "auto" and probes.exact_cost <= min(EXACT, goal.max_probes)):
        return _exact(probes)
    start = Sampled(np.zeros(1), probes.draw(min(PILOT, goal.max_probes), without_deflated=False))
    if _is_done(start, goal) or not start.is_finite:
        return _ended(start, goal)
    deflates = 0 < probes.deflated_cost + PILOT < start.needed(goal.tolerance) - len(start.samples)
    if deflates and probes.deflated_cost + 2 * PILOT <= goal.max_probes and _in_time(goal):
        start = _better(start, _deflated(probes), goal)
    may_be_exact = method == "auto" and probes.exact_cost <= goal.max_probes
    return _grown(probes, start, goal, may_be_exact)


def _exact(probes: Probes) -> Sampled:
    known = probes.exact()
    done = Sampled(known, np.zeros((0, len(known))))
    return done if done.is_finite else replace(done, status=NOT_FINITE)


def _deflated(probes: Probes) -> Sampled:
    return Sampled(probes.deflated(), probes.draw(PILOT, without_deflated=True), is_deflated=True)


def _better(plain: Sampled, deflated: Sampled, goal: TraceGoal) -> Sampled:
    """The one that needs fewer samples."""
    return min(plain, deflated, key=lambda found: found.needed(goal.tolerance))


def _in_time(goal: TraceGoal) -> bool:
    return time.monotonic() <= goal.deadline


def _is_done(found: Sampled, goal: TraceGoal) -> bool:
    return len(found.samples) >= PILOT and found.needed(goal.tolerance) <= len(found.samples)


def _grown(probes: Probes, found: Sampled, goal: TraceGoal, may_be_exact: bool) -> Sampled:
    """Sample until the goal is reached, or everything is known, or the budget has ended."""
    while found.is_finite and not _is_done(found, goal) and _in_time(goal):
        count = len(found.samples)
        more = min(found.needed(goal.tolerance), GROWTH * count, goal.max_probes) - count
        if may_be_exact and probes.exact_cost < found.needed(goal.tolerance) - count:
            return _exact(probes)
        if more <= 0:
            break
        found = _with_more(probes, found, math.ceil(more), goal)
    return _ended(found, goal)


def _with_more(probes: Probes, found: Sampled, more: int, goal: TraceGoal) -> Sampled:
    """More samples, in portions between which the deadline is looked at."""
    samples = [found.samples]
    while more > 0 and _in_time(goal):
        portion = min(more, PILOT)
        samples.append(probes.draw(portion, without_deflated=found.is_deflated))
        more -= portion
    return replace(found, samples=np.concatenate(samples))


def _ended(found: Sampled, goal: TraceGoal) -> Sampled:
    """With how it ended."""
    status = CONVERGED if _is_done(found, goal) else SHORT
    return replace(found, status=status if found.is_finite else NOT_FINITE)
