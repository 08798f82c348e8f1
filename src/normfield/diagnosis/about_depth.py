"""A finding on depth: whether gradients survive the layers, and how many of them would."""

from __future__ import annotations

import math
from collections.abc import Mapping

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.signals import growth_inside, trainable_depth
from normfield.diagnosis.subject import Subject
from normfield.measure.signals import LayerSignals
from normfield.report import Finding, format_number

_STEADY, _MUCH = 1.05, 100.0


def gradients_by_layer(
    subject: Subject, answers: Mapping[str, Answer], signals: LayerSignals | None
) -> Finding | None:
    """By what the gradient changes from layer to layer, what that makes over the depth, and what to do."""
    growth = None if signals is None else signals.gradient_growth
    if signals is None or growth is None or growth.layers < 3:
        return None
    factor, total = growth.factor, signals.layers[0].gradient / signals.layers[-2].gradient
    field = answers["theory"].detail
    by_theory = growth_inside(field) if field is not None and subject.has_batch_norm else None
    words = _measured_words(factor, total, growth.layers)
    if by_theory is not None and by_theory > 1.001:
        words += _theory_words(by_theory, len(signals.layers))
    much = max(total, 1 / total) > _MUCH
    if much:
        words += " Fewer layers or skip connections keep it in bounds."
    return Finding("warning" if much else "note", words, factor, "factor per layer, going backwards")


def _measured_words(factor: float, total: float, layers: int) -> str:
    if 1 / _STEADY < factor < _STEADY:
        return (
            f"Gradients keep their size over the {layers} hidden layers (a factor of {factor:.3g} per layer): depth is "
            "no problem here."
        )
    way, size, over = ("grow", factor, total) if factor > 1 else ("shrink", 1 / factor, 1 / total)
    return (
        f"Gradients {way} {size:.3g}-fold per layer from the output to the input, {format_number(over, 2)}-fold over "
        f"the {layers} hidden layers."
    )


def _theory_words(by_theory: float, depth: int) -> str:
    deepest = trainable_depth(by_theory)
    if not math.isfinite(deepest) or deepest > 1000:
        return ""
    beyond = "is beyond that" if depth > deepest else f"has {depth}"
    return (
        f" By theory batch norm makes them grow {by_theory:.3g}-fold per layer with this activation, and networks of "
        f"more than about {format_number(deepest, 2)} layers then do not train (Yang et al. 2019); this one {beyond}."
    )
