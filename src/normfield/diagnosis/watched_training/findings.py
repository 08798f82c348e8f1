"""What a watched run says, in plain sentences with the number behind each."""

from __future__ import annotations

import math
from collections.abc import Iterator

from normfield.diagnosis.watched_training.drawing import last, last_with_step
from normfield.diagnosis.watched_training.opening import at_the_edge, edge_values
from normfield.report import Finding, format_number
from normfield.train.monitoring import MonitorRecord

FAR_FROM_THE_EDGE = 0.1
"""η·Λ/2 below which a larger learning rate is worth a try."""

MANY_DEAD = 0.5
"""Part of a layer's units without gradient that is worth a warning."""

FAST_GROWTH = 1.3
"""Growth of the gradient per layer, the rate of deep ReLU networks with batch norm being 1.21 [Yang 2019]."""

FAR_OFF = 0.5
"""Error of a running mean, in standard deviations, or |ln| of a ratio of variances, that is worth a warning."""

MUCH_SLOWER = 10.0
"""Fall of an effective learning rate that is worth a note."""


def find(record: MonitorRecord) -> tuple[Finding, ...]:
    """Every finding that the record supports."""
    return (
        *_loss(record),
        *_edge(record),
        *_landscape(record),
        *_signals(record),
        *_statistics(record),
        *_lengths(record),
    )


def _loss(record: MonitorRecord) -> Iterator[Finding]:
    bad = [step for step, loss in enumerate(record.losses) if loss is not None and not math.isfinite(loss)]
    if bad:
        yield Finding(
            "problem",
            f"The loss was not finite from step {bad[0]} on; lower the learning rate.",
            bad[0],
            "step",
        )


def _edge(record: MonitorRecord) -> Iterator[Finding]:
    latest = at_the_edge(record)
    if latest is None:
        return
    step, value = latest
    highest = max(value for _, value in edge_values(record))
    if value > 1:
        sentence = f"At step {step:,} the learning rate was above the largest one at which the sharpest mode settles."
        yield Finding("warning", sentence, value, "η·Λ/2 at the last measurement")
    elif highest < FAR_FROM_THE_EDGE:
        sentence = (
            "Wherever it was measured, the learning rate was far below the edge of stability; a larger one is worth a "
            "try."
        )
        yield Finding("note", sentence, highest, "largest η·Λ/2 seen")


def _landscape(record: MonitorRecord) -> Iterator[Finding]:
    step = last(record, "landscape", "diverging_step")
    if step is not None:
        sentence = "A step of this size along the gradient multiplied the loss by a thousand or more."
        yield Finding("warning", sentence, step, "step along the gradient")


def _signals(record: MonitorRecord) -> Iterator[Finding]:
    dead = _latest(record, "signals", "dead_fraction")
    many = {layer: part for layer, part in dead.items() if part > MANY_DEAD}
    if many:
        worst = max(many, key=many.__getitem__)
        sentence = (
            f"At the last measurement more than half of the units got no gradient in {len(many)} of {len(dead)} "
            f"layers, most of them in {worst}."
        )
        yield Finding("warning", sentence, many[worst], "part of the units")
    latest = last_with_step(record, "signals", "gradient_growth")
    if latest is not None and latest[1] > FAST_GROWTH:
        step, growth = latest
        sentence = (
            f"At step {step:,}, going backwards, the gradient grew fast from layer to layer: the first layers got the "
            "most."
        )
        yield Finding("warning", sentence, growth, "factor per layer")


def _statistics(record: MonitorRecord) -> Iterator[Finding]:
    errors = _latest(record, "statistics_drift", "mean_error")
    ratios = _latest(record, "statistics_drift", "variance_ratio")
    off = {layer: max(errors[layer], abs(math.log(ratios.get(layer, 1.0)))) for layer in errors}
    far = [layer for layer in off if off[layer] > FAR_OFF]
    if far:
        worst = max(far, key=off.__getitem__)
        sentence = (
            f"The running statistics of {len(far)} of {len(off)} batch norms are far from the exact ones, most of all "
            f"{worst} (variance ratio {format_number(ratios.get(worst))}); recalibrate before inference, with "
            "nf.recalibrate_."
        )
        yield Finding("warning", sentence, errors[worst], "error of its mean, in standard deviations")


def _lengths(record: MonitorRecord) -> Iterator[Finding]:
    slower = {}
    for weight in record.layers("scale_invariance", "effective_learning_rate"):
        _, rates = record.curve("scale_invariance", "effective_learning_rate", weight)
        slower[weight] = float(rates[0] / rates[-1]) if rates[-1] > 0 else 1.0
    slow = {weight: factor for weight, factor in slower.items() if factor > MUCH_SLOWER}
    if slow:
        sentence = (
            f"The directions of {len(slow)} of {len(slower)} scale-invariant weights move more than "
            f"{format_number(MUCH_SLOWER)} times more slowly than at first (η/‖W‖²), fastest fallen: "
            f"{max(slow, key=slow.__getitem__)}."
        )
        yield Finding("note", sentence, max(slow.values()), "times slower")


def _latest(record: MonitorRecord, instrument: str, quantity: str) -> dict[str, float]:
    """The last finite value of every layer that has one."""
    found = {
        layer: last(record, instrument, quantity, layer) for layer in record.layers(instrument, quantity)
    }
    return {layer: value for layer, value in found.items() if value is not None}
