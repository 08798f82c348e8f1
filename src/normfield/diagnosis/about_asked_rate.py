"""Findings on the settings that the caller means to train with: the learning rate, and weight decay."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.health import Health
from normfield.diagnosis.trust import has_rate, is_bound
from normfield.report import Finding, format_number


def rate_above_limit(asked: Asked, answers: Mapping[str, Answer]) -> Finding | None:
    """The caller's learning rate, where it is above the limit of the answer nearest to the truth."""
    if asked.learning_rate is None:
        return None
    for name in ("trained", "measured", "kernel", "theory"):
        answer, limit = answers[name], answers[name].max_learning_rate
        if limit is not None and limit > 0 and has_rate(answer) and not is_bound(answer):
            return _above(asked, asked.learning_rate, name, limit)
    return None


def _above(asked: Asked, rate: float, name: str, limit: float) -> Finding | None:
    if rate <= limit:
        return None
    times = rate / limit
    words = f"A learning rate of {format_number(rate)} is {format_number(times, 3)} times "
    if name == "trained":
        words += f"the edge {format_number(limit)} above which runs diverged: lower it."
        return Finding("problem", words, times, "learning rate over the edge")
    words += f"the limit {format_number(limit)} of stable first steps ({name})"
    if asked.is_cross_entropy:
        words += ", above which runs with cross-entropy often survive: try it on a few steps, or warm up."
        return Finding("note", words, times, f"learning rate over the limit, {name}")
    words += ": expect the first steps to grow; lower it, or warm up from below."
    return Finding("warning", words, times, f"learning rate over the limit, {name}")


def decay_of_invariant_weights(asked: Asked, health: Health | None) -> Finding | None:
    """What weight decay does to weights whose length does not matter: it sets their learning rate."""
    found = None if health is None else health.invariance
    if not asked.weight_decay or found is None or not found.invariant:
        return None
    words = (
        f"Weight decay does not regularise {len(found.invariant)} of the {len(found.weights)} weights, such as "
        f"{found.invariant[0]}: the loss does not feel their length, so that decay only shortens them and raises "
        "their effective learning rate η/‖W‖²"
    )
    rate = asked.learning_rate
    if rate is None:
        return Finding("note", f"{words}.", len(found.invariant), "scale-invariant weights under decay")
    steps = (1 - asked.momentum) / (2 * rate * asked.weight_decay)
    return Finding(
        "note",
        f"{words}, until shrinking and growing balance after about {format_number(steps, 2)} steps: (1 − μ)/(2ηλ) at "
        f"η = {format_number(rate)} and λ = {format_number(asked.weight_decay)}.",
        steps,
        "steps until their length balances",
    )
