"""The runs of a search: made one after another, kept, and ended by the clock or by Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from normfield.train.builders import Build
from normfield.train.descent import CUT_SHORT
from normfield.train.prepared import Prepared
from normfield.train.run import Run, run_prepared
from normfield.train.settings import Settings

BUDGET_SPENT, INTERRUPTED = "budget spent", "interrupted"


@dataclass
class Trials:
    """Runs so far, and why there will be no more: ``stopped`` is None while there may be."""

    make: Build
    prepared: Prepared
    settings: Settings
    deadline: float
    progress: Callable[[str], object] | None
    runs: list[Run] = field(default_factory=list)
    stopped: str | None = None

    def run(self, x: float, seed: int) -> Run | None:
        """One run from scratch at η = 10ˣ; None where it told nothing, since the search was stopped."""
        if time.monotonic() > self.deadline:
            self.stopped = BUDGET_SPENT
            return None
        try:
            run = run_prepared(self.make(seed), self.prepared, self.settings, 10.0**x, seed, self.deadline)
            self._keep(run)
        except KeyboardInterrupt:
            self.stopped = INTERRUPTED
            return None
        return None if self.stopped else run

    def _keep(self, run: Run) -> None:
        self.runs.append(run)
        if run.status == CUT_SHORT:
            self.stopped = BUDGET_SPENT
        if self.progress is not None:
            self.progress(str(run))


def best_of(runs: list[Run]) -> Run | None:
    """The finished run with the lowest test loss, or training loss where there is no test data."""
    finished = [run for run in runs if run.final_loss is not None]
    return min(finished, key=score, default=None)


def score(run: Run) -> float:
    """Loss by which finished runs are compared."""
    loss = run.final_loss if run.test_loss is None else run.test_loss
    return float("inf") if loss is None else loss
