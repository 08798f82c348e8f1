"""The stages of a diagnosis, one after another, each with what those before left of the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from normfield.diagnosis.answer import NAMES, Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.by_kernel import kernel_answer, profile_in_time
from normfield.diagnosis.by_measurement import measured_answer
from normfield.diagnosis.by_theory import theory_answer
from normfield.diagnosis.by_training import trained_answer
from normfield.diagnosis.clock import Clock
from normfield.diagnosis.costs import Costs, costs_of
from normfield.diagnosis.health import Health, health_of, health_steps
from normfield.diagnosis.memory import usable_bytes
from normfield.diagnosis.planning import fitting_batch
from normfield.diagnosis.signals import signals_of
from normfield.diagnosis.subject import Subject
from normfield.diagnosis.trust import has_rate
from normfield.measure.signals import LayerSignals
from normfield.theory.kernels import DepthProfile

_SIGNALS_STEPS = 3  # a pass that records every layer, in steps of training, rounded up


@dataclass
class Stages:
    """What is known so far: answers by name, signals, and the question with the batch size that was settled on."""

    subject: Subject
    asked: Asked
    clock: Clock
    say: Callable[[str], object]
    may_shrink: bool
    answers: dict[str, Answer] = field(default_factory=dict)
    signals: LayerSignals | None = None
    profile: DepthProfile | None = None
    health: Health | None = None

    def run(self) -> None:
        """Theory, a look at the costs, kernel, measurement, training."""
        self.say("theory")
        self.answers["theory"] = theory_answer(self.subject, self.asked)
        if self.clock.left <= 0:
            self._nothing_left()
            return
        self.say("timing a step")
        costs = costs_of(self.subject.module, self.subject.data, self.asked, self.clock)
        self._settle_batch(costs)
        self.say("the kernel of one batch")
        self.answers["kernel"] = kernel_answer(self.subject, self.asked, self.clock)
        self.profile = profile_in_time(self.subject, self.asked, self.answers["kernel"], self.clock)
        self.say("measuring the curvature")
        self.answers["measured"] = measured_answer(self.subject, self.asked, costs, self.clock)
        self._look_at_signals(costs)
        self._look_at_health(costs)
        self.say("training")
        nearest = self._nearest()
        self.answers["trained"] = trained_answer(
            self.subject, self.asked, costs, nearest, self.clock, self.say
        )

    def stop(self) -> None:
        """Ctrl-C: what is not there yet will not come."""
        for name in NAMES:
            self.answers.setdefault(name, Answer.without(name, "stopped", "stopped by Ctrl-C"))

    def in_order(self) -> dict[str, Answer]:
        """The answers, the cheapest first."""
        return {name: self.answers[name] for name in NAMES}

    def _nothing_left(self) -> None:
        reason = (
            f"starting and reading the data took {self.clock.spent:.2g} s, and the budget is "
            f"{self.asked.budget:g} s"
        )
        for name in ("kernel", "measured", "trained"):
            self.answers[name] = Answer.without(name, "cut", reason)

    def _settle_batch(self, costs: Costs) -> None:
        """Smaller batches than 128 where nobody asked for them and no others fit."""
        if not self.may_shrink:
            return
        memory = usable_bytes(next(self.subject.module.parameters()).device)
        self.asked = fitting_batch(self.asked, costs, self.subject.data.outputs, self.clock.left, memory)

    def _look_at_signals(self, costs: Costs) -> None:
        """By layer, where it costs next to nothing."""
        if _SIGNALS_STEPS * costs.step(self.asked.batch_size) < self.clock.left / 10:
            self.signals = signals_of(self.subject, self.asked)

    def _look_at_health(self, costs: Costs) -> None:
        """Batch norm's own statistics over a few batches, where they cost next to nothing."""
        steps = health_steps(self.subject, self.asked)
        if steps and steps * costs.step(self.asked.batch_size) < self.clock.left / 10:
            self.health = health_of(self.subject, self.asked)

    def _nearest(self) -> Answer:
        """The best answer so far to what limits the first steps."""
        kinds = ("measured", "kernel", "theory")
        return next(
            (self.answers[name] for name in kinds if has_rate(self.answers[name])), self.answers["theory"]
        )
