"""A trace in progress: its waves are trained, and it learns how they ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from normfield.sweep import Cell, Outcome
from normfield.sweep.tracing import BoundaryTrace, Try
from normfield.train.boundaries import Boundary, boundary_of
from normfield.train.boundary_lines.column import BoundaryColumn
from normfield.train.boundary_lines.line import TracedRun
from normfield.train.boundary_lines.trained import Trained
from normfield.train.descent import DIVERGED
from normfield.train.trials import BUDGET_SPENT, INTERRUPTED


@dataclass
class Waves:
    """What a trace has run, and why it will run no more: ``stopped`` is None while it may."""

    trace: BoundaryTrace
    axis: str
    values: tuple[Cell, ...]
    seed: int
    deadline: float
    progress: Callable[[str], object] | None
    restarts: int
    runs: dict[Try, str] = field(default_factory=dict)
    reused: int = 0
    stopped: str | None = None

    def train(self, trained: Trained) -> None:
        """Wave after wave until all brackets are closed, the clock runs out or Ctrl-C."""
        try:
            while self.stopped is None and (wave := self.trace.ask()):
                self._one(wave, trained)
        except KeyboardInterrupt:
            self.stopped = INTERRUPTED
        finally:
            trained.close()

    def _one(self, wave: Sequence[Try], trained: Trained) -> None:
        before = len(self.runs)
        known = [tried for tried in wave if self._tell(tried, trained)]
        self.reused += len(known)
        left = [tried for tried in wave if tried not in set(known)]
        try:
            if left:
                trained.run([self._point(tried) for tried in left], self._may_go_on)
        finally:
            for tried in left:
                self._tell(tried, trained)
        if self.progress is not None and len(self.runs) > before:
            closed = sum(bracket.ask() is None for bracket in self.trace.brackets().values())
            total = len(self.values) * self.restarts
            self.progress(f"{len(self.runs)} runs, {closed} of {total} brackets closed")

    def _tell(self, tried: Try, trained: Trained) -> bool:
        """Let the trace learn how a run ended; False where it has not."""
        outcome = trained.outcome(self._point(tried))
        if outcome is None:
            return False
        if outcome.error is None:
            self.trace.tell(tried, outcome.values["status"] == DIVERGED)
        else:
            self.trace.give_up(tried, outcome.error)
        self.runs[tried] = _ending(outcome)
        return True

    def _may_go_on(self) -> bool:
        if time.monotonic() > self.deadline:
            self.stopped = BUDGET_SPENT
        return self.stopped is None

    def _point(self, tried: Try) -> dict[str, Cell]:
        return {
            self.axis: self.values[tried.column],
            "learning_rate": 10.0**tried.x,
            "seed": self.seed + tried.restart,
        }

    def ended_runs(self) -> tuple[TracedRun, ...]:
        """Every run, by column, restart and learning rate."""
        ordered = sorted(self.runs, key=lambda tried: (tried.column, tried.restart, tried.x))
        return tuple(
            TracedRun(self.values[t.column], self.seed + t.restart, t.x, self.runs[t]) for t in ordered
        )

    def columns(self) -> tuple[BoundaryColumn, ...]:
        """What the brackets say at each value."""
        found: list[list[Boundary]] = [[] for _ in self.values]
        given_up = self.trace.given_up
        for (column, restart), bracket in self.trace.brackets().items():
            boundary = boundary_of(bracket, self.seed + restart, "diverged")
            why = given_up.get((column, restart))
            found[column].append(
                boundary if why is None else replace(boundary, status=f"not bracketed: {why}")
            )
        return tuple(
            BoundaryColumn(at, tuple(boundaries), self.restarts)
            for at, boundaries in zip(self.values, found, strict=True)
        )


def _ending(outcome: Outcome) -> str:
    return f"failed: {outcome.error}" if outcome.error is not None else str(outcome.values["status"])
