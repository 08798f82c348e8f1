"""The search for the best rate: how far down it goes, and that both criteria share their runs."""

from __future__ import annotations

import pytest

from normfield.train.brackets import close, first_brackets, next_brackets, walk_down
from normfield.train.descent import DIVERGED, FINISHED
from normfield.train.run import Run


class Invented:
    """Trials whose runs diverge above one log₁₀η, end worse above another, and are best at a third."""

    def __init__(self, diverged: float, worse: float, best: float = -1.0) -> None:
        self.diverged, self.worse, self.best = diverged, worse, best
        self.runs: list[Run] = []
        self.stopped = None

    def run(self, x: float, seed: int) -> Run:
        gone = x > self.diverged
        loss = (2.0 if x > self.worse else 0.1) + 0.1 * abs(x - self.best)
        run = Run(
            learning_rate=10.0**x,
            momentum=0.0,
            seed=seed,
            status=DIVERGED if gone else FINISHED,
            diverged_at=1 if gone else None,
            losses=(1.0,),
            first_loss=1.0,
            final_loss=None if gone else loss,
            test_loss=None,
            test_accuracy=None,
            dropped_samples=0,
            seconds=0.0,
        )
        self.runs.append(run)
        return run


@pytest.mark.parametrize(("best", "lowest"), [(-0.3, -1.0), (-0.9, -2.0), (-1.5, -2.5), (-9.0, -3.0)])
def test_the_walk_ends_once_lower_rates_are_clearly_worse_or_after_three_decades(best, lowest):
    trials = Invented(diverged=0.0, worse=0.0, best=best)
    brackets = first_brackets(start=0.1, resolution=0.05)
    close(brackets, trials, seed=0)
    bracketed = len(trials.runs)
    walk_down(brackets, trials, seed=0)
    walked = [run.log10 for run in trials.runs[bracketed:]]
    assert min(walked) == pytest.approx(lowest, abs=0.05)
    near = [min(abs(run.log10 + depth) for run in trials.runs) for depth in (0.25, 0.5, 0.75, 1.0)]
    assert max(near) < 0.1


def test_both_boundaries_are_found_with_shared_runs():
    trials = Invented(diverged=0.83, worse=-0.42)
    brackets = first_brackets(start=0.0, resolution=0.05)
    close(brackets, trials, seed=0)
    for bracket, boundary in ((brackets.diverged, 0.83), (brackets.worse, -0.42)):
        assert bracket.status == "bracketed"
        assert bracket.low <= boundary < bracket.high
        assert bracket.high - bracket.low <= 0.05
    assert len({run.log10 for run in trials.runs}) == len(trials.runs)


def test_another_restart_takes_few_runs():
    trials = Invented(diverged=0.83, worse=-0.42)
    first = first_brackets(start=-3.0, resolution=0.05)
    close(first, trials, seed=0)
    trials.runs.clear()
    close(next_brackets(first, start=-3.0, resolution=0.05), trials, seed=1)
    assert len(trials.runs) <= 6


def test_a_start_outside_the_limits_is_brought_inside():
    assert first_brackets(start=40.0, resolution=0.05).ask() == 6.0
    assert first_brackets(start=-40.0, resolution=0.05).ask() == -12.0
