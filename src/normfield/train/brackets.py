"""Both boundaries of one restart, bracketed with the same runs, and the way down from them to the best rate."""

from __future__ import annotations

from dataclasses import dataclass

from normfield.sweep import Bracket
from normfield.train.descent import DIVERGED
from normfield.train.run import Run
from normfield.train.trials import Trials, best_of

LIMITS = (-12.0, 6.0)
_FINE_STEP, _FINE_REACH = 0.25, 1.0
_COARSE_STEP, _COARSE_REACH = 0.5, 3.0
_MARGIN = 0.6
_AGAIN = 0.9  # of the resolution: a boundary that stays where it was is closed by two runs


@dataclass(frozen=True)
class Brackets:
    """The two criteria of one restart: runs diverge; runs end worse than they began."""

    diverged: Bracket
    worse: Bracket

    def ask(self) -> float | None:
        """Next log₁₀η that either needs."""
        x = self.diverged.ask()
        return self.worse.ask() if x is None else x

    def tell(self, x: float, run: Run) -> None:
        """Let both learn from a run."""
        self.diverged.tell(x, run.status == DIVERGED)
        self.worse.tell(x, bool(run.ended_worse))


def first_brackets(start: float, resolution: float) -> Brackets:
    """Brackets that know nothing but a first guess of log₁₀η."""
    start = min(max(start, LIMITS[0]), LIMITS[1])
    return Brackets(*(Bracket(start, resolution=resolution, limits=LIMITS) for _ in range(2)))


def next_brackets(last: Brackets, start: float, resolution: float) -> Brackets:
    """Brackets of another restart, begun at the last one's boundaries with small steps."""
    guesses = (_guess(last.diverged, start), _guess(last.worse, start))
    return Brackets(
        *(Bracket(x, resolution=resolution, step=_AGAIN * resolution, limits=LIMITS) for x in guesses)
    )


def close(brackets: Brackets, trials: Trials, seed: int) -> None:
    """Run until both brackets are closed or the trials are stopped."""
    while (x := brackets.ask()) is not None:
        run = trials.run(x, seed)
        if run is None:
            return
        brackets.tell(x, run)


def walk_down(brackets: Brackets, trials: Trials, seed: int) -> None:
    """Quarter decades down from the lower boundary for a decade, then halves while the best is near."""
    top = _top(brackets, trials)
    if top is None:
        return
    depth = _FINE_STEP
    while depth <= _FINE_REACH or (
        depth <= _COARSE_REACH and _best_is_near(trials, top - depth + _COARSE_STEP)
    ):
        if not _tried(trials, top - depth) and trials.run(top - depth, seed) is None:
            return
        depth += _FINE_STEP if depth < _FINE_REACH else _COARSE_STEP


def _top(brackets: Brackets, trials: Trials) -> float | None:
    """The lower of the two boundaries; where neither was seen, the highest rate that finished."""
    seen = [
        bracket.estimate for bracket in (brackets.diverged, brackets.worse) if bracket.estimate is not None
    ]
    finished = [run.log10 for run in trials.runs if run.final_loss is not None]
    return min(seen, default=max(finished, default=None))


def _best_is_near(trials: Trials, x: float) -> bool:
    """Whether the best rate lies so little above x, the last one tried, that a lower one may be better still."""
    best = best_of(trials.runs)
    return best is not None and best.log10 < x + _MARGIN


def _tried(trials: Trials, x: float) -> bool:
    """Whether a run was near enough."""
    return any(abs(run.log10 - x) < _FINE_STEP / 4 for run in trials.runs)


def _guess(last: Bracket, start: float) -> float:
    return start if last.estimate is None else last.estimate
