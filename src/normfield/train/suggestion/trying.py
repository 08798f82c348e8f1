"""The short runs: trained together, counted, and ended by the clock or by Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from normfield.data import DataSet
from normfield.errors import InvalidInput
from normfield.train.builders import Build
from normfield.train.descent import CUT_SHORT, DIVERGED
from normfield.train.ensemble import Member, train_ensemble
from normfield.train.run import Run, train_once
from normfield.train.settings import Settings
from normfield.train.trials import BUDGET_SPENT, INTERRUPTED, score

Rate = float
"""log₁₀η."""


@dataclass
class Tries:
    """Runs so far and the gradients that they took; ``stopped`` is None while there may be more.

    ``alone`` says why the runs are trained one by one; it is empty while they are trained together.
    """

    make: Build
    data: DataSet
    loss: str | Callable
    settings: Settings
    allowed: int
    deadline: float
    progress: Callable[[str], object] | None
    gradients: int = 0
    runs: list[Run] = field(default_factory=list)
    stopped: str | None = None
    alone: str = ""
    compile_seconds: float = 0.0

    def affords(self, gradients: int) -> bool:
        """Whether so many more gradients may be taken."""
        return self.stopped is None and self.gradients + gradients <= self.allowed

    def run(self, rates: Sequence[Rate], seeds: Sequence[int], steps: int) -> list[Run]:
        """A run of so many steps at each rate with each seed, by rate; none where they were stopped on the way."""
        if self.stopped is None and time.monotonic() > self.deadline:
            self.stopped = BUDGET_SPENT
        if self.stopped is not None:
            return []
        members = [Member(10.0**x, self.settings.momentum, seed) for x in rates for seed in seeds]
        try:
            return self._kept(self._trained(members, steps))
        except KeyboardInterrupt:
            self.stopped = INTERRUPTED
            return []

    def _kept(self, made: list[Run]) -> list[Run]:
        self.gradients += sum(len(run.losses) for run in made)
        if any(run.status == CUT_SHORT for run in made):
            self.stopped = BUDGET_SPENT
            return []
        self.runs += made
        if self.progress is not None:
            self.progress(_line(made))
        return made

    def _trained(self, members: list[Member], steps: int) -> list[Run]:
        """Together where the model can be vectorised and fits into memory so, else one by one."""
        if not self.alone:
            try:
                together = train_ensemble(self.make, self.data, members, **self._settings(steps))
            except InvalidInput as refusal:
                self.alone = str(refusal)
            else:
                self.compile_seconds += together.compile_seconds
                return list(together.runs)
        return [self._once(member, steps) for member in members]

    def _once(self, member: Member, steps: int) -> Run:
        own = {"learning_rate": member.learning_rate, "momentum": member.momentum, "seed": member.seed}
        return train_once(self.make(member.seed), self.data, **own, **self._settings(steps))

    def _settings(self, steps: int) -> dict[str, Any]:
        return {
            "loss": self.loss,
            "batch_size": self.settings.batch_size,
            "steps": steps,
            "divergence_factor": self.settings.divergence_factor,
            "deadline": self.deadline,
        }


def loss_of(runs: Iterable[Run]) -> float:
    """Mean loss of the runs at one rate on held-out samples (training samples without); infinite where one diverged."""
    losses = [float("inf") if run.status == DIVERGED else score(run) for run in runs]
    return sum(losses) / len(losses)


def _line(made: Sequence[Run]) -> str:
    """What a wave of runs gave, in a line."""
    low, high = min(run.log10 for run in made), max(run.log10 for run in made)
    diverged = sum(run.status == DIVERGED for run in made)
    best = min(made, key=lambda run: loss_of([run]))
    line = (
        f"{len(made)} runs of {max(len(run.losses) for run in made)} steps, log₁₀η {low:+.2f} to {high:+.2f}"
    )
    return f"{line}: {diverged} diverged, best at {best.log10:+.2f}"
