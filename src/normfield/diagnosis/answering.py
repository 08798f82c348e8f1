"""How each of the four answers is found."""

from __future__ import annotations

import copy
import math
import time
from typing import Any, cast

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.subject import Subject
from normfield.errors import InvalidInput, NormfieldError, NotCovered, NumericalFailure
from normfield.measure import Curvature, curvature
from normfield.theory import MeanField, mean_field
from normfield.train import CriticalLearningRate, critical_learning_rate, train_once

_MEASURED_SAMPLES = 1024
_STEPS = (30, 240)
_FEWEST_STEPS = 5
_RUNS_PER_RESTART = (12, 24)  # where η* is close to the edge, and where it is decades below (cross-entropy)


def theory_answer(subject: Subject, asked: Asked) -> Answer:
    """Population theory with the statistics asked for; for cross-entropy an interval over networks."""
    began = time.perf_counter()
    if subject.network is None:
        return _without(
            "theory",
            "not covered",
            "a module was given without its description: give a Network for theory's answer",
        )
    factor = asked.squared_loss_factor(subject.network.output_shape[0])
    if factor is None and not asked.is_cross_entropy:
        return _without(
            "theory", "not covered", f"theory covers squared loss and cross-entropy, not {asked.loss_name}"
        )
    if asked.statistics == "running":
        return _without(
            "theory", "not covered", "theory knows the batch's statistics, not the module's running ones"
        )
    try:
        field = mean_field(subject.network, cast(Any, asked.statistics))
    except NotCovered as refusal:
        return _without("theory", "not covered", str(refusal))
    if not field.largest_eigenvalue > 0:
        return _without("theory", "not covered", "theory finds no direction that samples share (λ_max = 0)")
    if factor is None:
        return _cross_entropy_answer(field, asked, began)
    return Answer(
        name="theory",
        status="answered",
        max_learning_rate=field.max_learning_rate(asked.momentum) / factor,
        largest_eigenvalue=field.largest_eigenvalue * factor,
        seconds=time.perf_counter() - began,
        assumes=field.assumption,
        detail=field,
    )


def _cross_entropy_answer(field: MeanField, asked: Asked, began: float) -> Answer:
    found = field.cross_entropy(seed=asked.seed)
    scale = 2 * (1 + asked.momentum)
    return Answer(
        name="theory",
        status="answered",
        max_learning_rate=scale / found.mean,
        interval=(scale / found.high, scale / found.low),
        largest_eigenvalue=found.mean,
        seconds=time.perf_counter() - began,
        assumes=field.assumption
        + " For cross-entropy times the softmax covariance; the interval is over networks.",
        detail=field,
    )


def kernel_answer() -> Answer:
    """Not offered by this version."""
    return _without("kernel", "not yet", "the finite-batch kernel is not part of this version")


def measured_answer(subject: Subject, asked: Asked) -> Answer:
    """Curvature of the module itself at its initial weights, by default in the mode in which it trains.

    It takes half of the budget at most: one batch first, and as many more as that one's time allows.
    """
    began = time.perf_counter()
    try:
        found = _measured(subject, asked, 1)
        taken = time.perf_counter() - began
        batches = subject.data.batches(asked.batch_size, asked.seed)
        count = min(
            len(batches), _MEASURED_SAMPLES // asked.batch_size, int((asked.budget / 2 - taken) / taken)
        )
        if count > 1 and found.is_converged:
            more = _measured(subject, asked, count)
            found = more if more.is_converged else found
    except NumericalFailure as failure:
        return _without("measured", "failed", str(failure), time.perf_counter() - began)
    if not found.is_converged:
        reason = f"{found.status}; λ_max is at least {found.largest_eigenvalue:.4g}"
        return _without("measured", "cut", reason, time.perf_counter() - began)
    return Answer(
        name="measured",
        status="answered",
        max_learning_rate=found.max_learning_rate(asked.momentum),
        largest_eigenvalue=found.largest_eigenvalue,
        seconds=time.perf_counter() - began,
        assumes=_measured_words(found, asked),
        detail=found,
    )


def _measured(subject: Subject, asked: Asked, count: int) -> Curvature:
    batches = subject.data.batches(asked.batch_size, asked.seed)
    return curvature(
        subject.module,
        [batches[i] for i in range(count)],
        asked.loss,
        kind=asked.matrix,
        statistics=asked.statistics,
        seed=asked.seed,
        budget=asked.budget / 2,
        on_failure="return",
    )


def _measured_words(found: Curvature, asked: Asked) -> str:
    what = {"fisher": "Fisher", "ggn": "Gauss–Newton", "hessian": "Hessian"}[found.kind]
    size = (
        f"{found.batches} batches of {asked.batch_size}"
        if found.batches > 1
        else f"a batch of {asked.batch_size}"
    )
    mode = "" if asked.statistics == "batch" else f" with {asked.statistics} statistics, not as it trains,"
    where = f"{what} matrix of this module{mode} at its initial weights, on {size}"
    return f"{where}; linear stability, so the first steps."


def trained_answer(
    subject: Subject, asked: Asked, reference: Answer, seconds: float, progress: object
) -> Answer:
    """Training at fixed learning rates until the edge is bracketed, within so many seconds."""
    began = time.perf_counter()
    if seconds <= 0:
        return _without("trained", "cut", "the other answers took the whole budget")
    try:
        restarts, steps = _plan(subject, asked, reference, seconds)
    except NormfieldError as failure:
        if isinstance(failure, InvalidInput):
            raise
        return _without("trained", "failed", str(failure), time.perf_counter() - began)
    if steps < 1:
        return _without(
            "trained", "cut", f"{seconds:.0f} s were left, less than a search of short runs takes"
        )
    found = critical_learning_rate(
        subject.given,
        subject.data,
        asked.loss,
        asked.batch_size,
        asked.momentum,
        restarts=restarts,
        seed=asked.seed,
        start=reference.max_learning_rate if _usable(reference) and asked.statistics == "batch" else None,
        steps=steps,
        budget=max(seconds - (time.perf_counter() - began), 0.1),
        progress=progress,  # type: ignore[arg-type]
    )
    seconds = time.perf_counter() - began
    if found.value is None:
        status = "cut" if found.cut else "failed"
        return Answer("trained", status, seconds=seconds, reason=found.cut or found.status, detail=found)
    return Answer(
        name="trained",
        status="answered",
        max_learning_rate=found.value,
        interval=_interval(found),
        seconds=seconds,
        assumes=_trained_words(found, restarts, steps),
        detail=found,
    )


def _plan(subject: Subject, asked: Asked, reference: Answer, seconds: float) -> tuple[int, int]:
    """(restarts, steps per run) that fit the time; 0 steps where not even a short run does."""
    began = time.perf_counter()
    fixed, each = _run_cost(subject, asked, reference)
    left = seconds - (time.perf_counter() - began)
    least, most = _STEPS
    runs = _RUNS_PER_RESTART[asked.squared_loss_factor(1) is None]
    for restarts in (2, 1):
        steps = int((left / (runs * restarts) - fixed) / each)
        if steps >= least:
            return restarts, min(steps, most)
    return 1, steps if steps >= _FEWEST_STEPS else 0


def _run_cost(subject: Subject, asked: Asked, reference: Answer) -> tuple[float, float]:
    """Seconds that every run takes for its evaluations, and seconds per step, from short runs at a tiny η."""
    rate = (reference.max_learning_rate or 0.0) / 100 if _usable(reference) else 1e-4
    taken = [
        train_once(
            copy.deepcopy(subject.module),
            subject.data,
            learning_rate=rate,
            momentum=asked.momentum,
            loss=asked.loss,
            batch_size=asked.batch_size,
            steps=steps,
            seed=asked.seed,
        ).seconds
        for steps in (1, 2, 8)  # the first warms up
    ]
    each = max((taken[2] - taken[1]) / 6, 1e-5)
    return max(taken[1] - 2 * each, 0.0), each


def _usable(reference: Answer) -> bool:
    """Whether an answer gives a limit, and not only a bound on one."""
    rate = reference.max_learning_rate
    return rate is not None and 0 < rate < math.inf and getattr(reference.detail, "is_top", True)


def _interval(found: CriticalLearningRate) -> tuple[float, float] | None:
    """The boundary less and more its error bar: spread over restarts and half-width of the brackets."""
    if found.log10 is None:
        return None
    bar = math.hypot(found.spread or 0.0, found.half_width or 0.0)
    return 10 ** (found.log10 - bar), 10 ** (found.log10 + bar)


def _trained_words(found: CriticalLearningRate, restarts: int, steps: int) -> str:
    cut = f" {found.cut}." if found.cut else ""
    return (
        f"{len(found.runs)} runs of {steps} steps over {restarts} restart{'s' * (restarts > 1)} that vary "
        f"{found.varies}; longer training may find a lower edge.{cut}"
    )


def _without(name: str, status: str, reason: str, seconds: float = 0.0) -> Answer:
    return Answer(name, status, seconds=seconds, reason=reason)  # type: ignore[arg-type]
