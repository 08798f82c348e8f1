"""The fourth answer: training at fixed learning rates until the edge is bracketed, in the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from normfield.data import DataSet
from normfield.diagnosis.answer import Answer, Status
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.by_measurement import measured_answer
from normfield.diagnosis.clock import Clock
from normfield.diagnosis.costs import Costs
from normfield.diagnosis.memory import in_words, usable_bytes
from normfield.diagnosis.planning import Training, training
from normfield.diagnosis.subject import Subject
from normfield.diagnosis.trust import has_rate, is_bound
from normfield.errors import InvalidInput, NormfieldError
from normfield.samples import count
from normfield.train import CriticalLearningRate, critical_learning_rate
from normfield.train.shown import interval_of
from normfield.train.suggestion.from_search import suggested_by
from normfield.train.trials import INTERRUPTED

_BLIND_START = 0.1
_REFERENCE_SHARE = 0.4  # of the time left: half of it for the measurement that training lacks


@dataclass(frozen=True)
class Reference:
    """Where the search starts, and whether that is the limit of the first steps as they are trained."""

    learning_rate: float
    is_limit: bool
    missing: str = ""


def trained_answer(
    subject: Subject,
    asked: Asked,
    costs: Costs,
    nearest: Answer,
    clock: Clock,
    progress: Callable[[str], object],
) -> Answer:
    """Training at fixed learning rates until the edge is bracketed, within what is left of the budget.

    ``nearest`` is the best answer so far to what limits the first steps.
    """
    began = time.perf_counter()
    memory = usable_bytes(next(subject.module.parameters()).device)
    if costs.training_bytes(asked.batch_size) > memory:
        return Answer.without("trained", "cut", _no_memory(asked, costs, memory))
    reference = _reference(subject, asked, costs, nearest, clock)
    test = 0 if subject.data.test_inputs is None else count(subject.data.test_inputs)
    plan = training(asked, costs, subject.data.samples_used, test, clock.left)
    if plan.steps < 1:
        return Answer.without("trained", "cut", _no_time(asked, costs, clock))
    try:
        found = _search(subject, asked, plan, reference, clock, progress)
    except NormfieldError as failure:
        if isinstance(failure, InvalidInput):
            raise
        return Answer.without("trained", "failed", str(failure), time.perf_counter() - began)
    return _answer(found, asked, plan, time.perf_counter() - began)


def _search(
    subject: Subject,
    asked: Asked,
    plan: Training,
    reference: Reference,
    clock: Clock,
    progress: Callable[[str], object],
) -> CriticalLearningRate:
    found = critical_learning_rate(
        subject.given,
        subject.data if plan.samples is None else _without_test(subject.data, plan.samples),
        asked.loss,
        asked.batch_size,
        asked.momentum,
        restarts=plan.restarts,
        seed=asked.seed,
        start=reference.learning_rate,
        steps=plan.steps,
        resolution=plan.resolution,
        look_for_best=plan.looks_for_best,
        budget=max(clock.left, 1e-3),
        progress=progress,
    )
    if reference.is_limit:
        return found
    return replace(found, reference=None, reference_source=reference.missing)


def _without_test(data: DataSet, samples: int) -> DataSet:
    """So many samples for training, and none to test on."""
    return replace(data.subset(samples), test_inputs=None, test_targets=None)


def _reference(subject: Subject, asked: Asked, costs: Costs, nearest: Answer, clock: Clock) -> Reference:
    """η* of the first steps in the mode in which the network trains, measured anew where another mode was asked for."""
    if asked.statistics != "batch":
        asked = replace(asked, statistics="batch", kind=None)
        part = Clock(_REFERENCE_SHARE * clock.left, time.monotonic())
        nearest = measured_answer(subject, asked, costs, part)
    rate = nearest.max_learning_rate
    if rate is not None and has_rate(nearest) and not is_bound(nearest):
        return Reference(rate, is_limit=True)
    return Reference(
        _BLIND_START, False, f"not measured: {nearest.reason or 'no answer before gave a limit'}"
    )


def _no_memory(asked: Asked, costs: Costs, memory: int) -> str:
    return (
        f"a step on a batch of {asked.batch_size} would take about "
        f"{in_words(costs.training_bytes(asked.batch_size))}, and {in_words(memory)}, half of what is free, may be "
        "used: give a smaller batch size"
    )


def _no_time(asked: Asked, costs: Costs, clock: Clock) -> str:
    return (
        f"{clock.left:.2g} s of the budget of {asked.budget:g} s were left, less than a search of short runs takes at "
        f"about {costs.step(asked.batch_size):.2g} s a step"
    )


def _answer(found: CriticalLearningRate, asked: Asked, plan: Training, seconds: float) -> Answer:
    suggestion = suggested_by(found.runs, found.best, found.loss)
    if found.value is None:
        reason = _why_not(found, plan)
        return Answer(
            "trained", _status(found), seconds=seconds, reason=reason, detail=found, suggestion=suggestion
        )
    cut = ", ".join(filter(None, [asked.batch_note, plan.cut, found.cut]))
    return Answer(
        name="trained",
        status="answered",
        max_learning_rate=found.value,
        interval=interval_of(found),
        seconds=seconds,
        assumes=_words(found, plan) + (f" Cut: {cut}." if cut else ""),
        detail=found,
        cut=cut,
        suggestion=suggestion,
    )


def _status(found: CriticalLearningRate) -> Status:
    if found.stopped == INTERRUPTED:
        return "stopped"
    return "cut" if found.cut else "failed"


def _why_not(found: CriticalLearningRate, plan: Training) -> str:
    """Why no edge was bracketed, and between which rates it lies as far as that is known."""
    reason = found.cut or found.status
    first = found.boundaries[0] if found.boundaries else None
    if first is None or first.low is None or first.high is None:
        return reason
    return f"{reason}; runs of {plan.steps} steps diverge from somewhere between {first.low:.3g} and {first.high:.3g}"


def _words(found: CriticalLearningRate, plan: Training) -> str:
    return (
        f"{len(found.runs)} runs of {plan.steps} steps over {plan.restarts} restart{'s' * (plan.restarts > 1)} "
        f"that vary {found.varies}; longer training may find a lower edge."
    )
