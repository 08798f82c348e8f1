"""The first answer: population theory of the network, given or read from the module."""

from __future__ import annotations

import time
from typing import Any, cast

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.subject import Subject
from normfield.errors import NotCovered
from normfield.theory import MeanField, mean_field


def theory_answer(subject: Subject, asked: Asked) -> Answer:
    """Population theory with the statistics asked for; for cross-entropy an interval over networks."""
    began = time.perf_counter()
    if subject.network is None:
        return _not_covered(subject.no_network)
    factor = asked.squared_loss_factor(subject.network.output_shape[0])
    if factor is None and not asked.is_cross_entropy:
        return _not_covered(f"theory covers squared loss and cross-entropy, not {asked.loss_name}")
    if asked.statistics == "running":
        return _not_covered("theory knows the batch's statistics, not the module's running ones")
    try:
        field = mean_field(subject.network, cast(Any, asked.statistics))
    except NotCovered as refusal:
        return _not_covered(str(refusal))
    if not field.largest_eigenvalue > 0:
        return _not_covered("theory finds no direction that samples share (λ_max = 0)")
    if factor is None:
        return _cross_entropy_answer(field, subject, asked, began)
    return Answer(
        name="theory",
        status="answered",
        max_learning_rate=field.max_learning_rate(asked.momentum) / factor,
        largest_eigenvalue=field.largest_eigenvalue * factor,
        seconds=time.perf_counter() - began,
        assumes=field.assumption + subject.extrapolation,
        detail=field,
    )


def _cross_entropy_answer(field: MeanField, subject: Subject, asked: Asked, began: float) -> Answer:
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
        + " For cross-entropy times the softmax covariance; the interval is over networks."
        + subject.extrapolation,
        detail=field,
    )


def _not_covered(reason: str) -> Answer:
    return Answer.without("theory", "not covered", reason)
