"""Findings on the learning rate: how far the first steps are stable, where runs diverge, which rates worked."""

from __future__ import annotations

import math
from collections.abc import Mapping

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.headline import first_try
from normfield.diagnosis.trust import has_rate, is_bound
from normfield.diagnosis.usable import MARGIN, usable_range
from normfield.report import Finding, format_number
from normfield.train import CriticalLearningRate

_APART = 1.26  # a tenth of a decade


def first_steps(asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """η*, by the nearest answer to the truth that there is."""
    for name in ("measured", "kernel", "theory"):
        answer = answers[name]
        rate = answer.max_learning_rate
        if rate is None or not has_rate(answer) or is_bound(answer):
            continue
        where = "" if asked.statistics == "batch" else f" with {asked.statistics} statistics"
        words = (
            f"The first steps{where} are stable up to a learning rate of {format_number(rate)} at momentum "
            f"{asked.momentum:g} ({name})."
        )
        start = first_try(answers, asked)
        if start is not None:
            words += f" Half of it, {format_number(start)}, is a good first try."
        return Finding("note", words, rate, f"largest stable learning rate, {name}")
    return None


def trained_edge(asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """Where runs diverge, and whether η* was what stopped them."""
    detail = answers["trained"].detail
    if detail is None:
        return None
    if detail.value is None and detail.limited is None:
        return Finding("warning", f"Training did not show where it diverges: {detail.status}.")
    if detail.value is None:
        return Finding("note", f"With {asked.loss_name} loss, training is {detail.verdict}.")
    words = f"Runs diverge above a learning rate of {format_number(detail.value)}, {_against(detail)}."
    if detail.worse_value is not None and detail.worse_value < detail.value / _APART:
        words += f" They end worse than they began already above {format_number(detail.worse_value)}."
    return Finding("good" if detail.limited else "note", words, detail.value, "learning rate at the edge")


def _against(detail: CriticalLearningRate) -> str:
    """The edge of training beside η*, in words."""
    if detail.decades_from_reference is None or detail.limited is None:
        return detail.verdict
    times = f"{format_number(10**detail.decades_from_reference, 2)} times the limit η* of linear stability"
    if detail.limited:
        return f"{times}: that limit is what stops training"
    return f"{times}: training is not limited by η*"


def best_seen(asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """The best run's learning rate, beside the measured limit and the edge."""
    detail, measured = answers["trained"].detail, answers["measured"]
    if detail is None or detail.best is None:
        return None
    best = detail.best_learning_rate
    by = "training loss" if detail.best.test_loss is None else "test loss"
    words = f"The best of the runs, by {by}, had a learning rate of {format_number(best)}"
    if asked.statistics == "batch" and has_rate(measured):
        words += (
            f", {format_number(best / (measured.max_learning_rate or math.nan), 2)} times the measured limit"
        )
    if detail.value is not None and best > detail.value:
        return Finding(
            "warning",
            f"{words}. It lies above {format_number(detail.value)}, the edge averaged over restarts: other weights or "
            "another order of the data diverge there, so do not rely on it.",
            best,
            "best learning rate seen",
        )
    usable = usable_range(detail.runs, detail.best)
    slower = (
        "; no smaller one was tried"
        if usable is not None and usable.open_below and usable.low == best
        else ""
    )
    return Finding("note", f"{words}{slower}.", best, "best learning rate seen")


def usable_rates(asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """The range of learning rates that worked about as well as the best: with cross-entropy the edge says little."""
    detail = answers["trained"].detail
    usable = None if detail is None else usable_range(detail.runs, detail.best)
    if usable is None or usable.runs < 2:
        return None
    words = (
        f"The {usable.runs} runs with learning rates from {format_number(usable.low)} to {format_number(usable.high)} "
        f"ended within {100 * MARGIN:.0f} % of the best {usable.by}: choose among them."
    )
    if asked.is_cross_entropy:
        words += " With cross-entropy this range says more than the edge of divergence."
    return Finding("good", words, usable.high / usable.low, "largest over smallest of these rates")
