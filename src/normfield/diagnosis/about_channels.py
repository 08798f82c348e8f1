"""Findings on single channels: variances that ε outweighs, and units that nothing moves."""

from __future__ import annotations

import numpy as np
from torch import nn

from normfield.diagnosis.health import Health, LayerHealth
from normfield.diagnosis.subject import Subject
from normfield.measure.signals import LayerSignal, LayerSignals
from normfield.report import Finding, format_number

_NEAR = 10.0  # times ε: below it a channel comes out 5 % smaller or more
_SOME, _MANY = 0.05, 0.1  # of a layer's channels
_DEAD = 0.3  # of its units on one batch: without batch norm, a fifth is usual at random weights


def variance_near_epsilon(health: Health | None) -> Finding | None:
    """Channels whose variance is so small that batch norm's ε takes part in their scale."""
    layers = () if health is None else health.layers
    worst = max(layers, key=_share_near, default=None)
    if worst is None or _share_near(worst) < _SOME:
        return None
    near = worst.found.variance[_is_near(worst)]
    lowest = float(np.median(near))
    return Finding(
        "warning",
        f"At {worst.name}, {len(near)} of {worst.found.channels} channels have a variance below {_NEAR:g} ε: "
        f"their median is {format_number(lowest)}, and ε = {worst.eps:g}. Batch norm shrinks them, "
        f"{format_number(np.sqrt((lowest + worst.eps) / lowest), 2)}-fold at that median, instead of bringing them to "
        "size 1. Larger weights or inputs in front of it, or a smaller ε, remove that.",
        lowest / worst.eps,
        f"median variance over ε of these channels at {worst.name}",
    )


def _is_near(layer: LayerHealth) -> np.ndarray:
    return (layer.found.variance < _NEAR * layer.eps) & ~layer.is_constant


def _share_near(layer: LayerHealth) -> float:
    return float(_is_near(layer).mean())


def dead_channels(subject: Subject, signals: LayerSignals | None, health: Health | None) -> Finding | None:
    """Units that no gradient passes, or channels of which a batch norm sees one value only."""
    dead = _most_dead(subject, signals)
    constant = max(() if health is None else health.layers, key=_share_constant, default=None)
    of_constant = 0.0 if constant is None else _share_constant(constant)
    of_dead = 0.0 if dead is None else dead.dead_fraction or 0.0
    if constant is not None and of_constant >= max(_MANY, of_dead):  # such channels pass no gradient either
        return _one_value(constant)
    if dead is not None and signals is not None and of_dead >= _DEAD:
        return _no_gradient(dead, signals.samples)
    return None


def _most_dead(subject: Subject, signals: LayerSignals | None) -> LayerSignal | None:
    """The layer with most dead units; one that is dead altogether does not count where a zero weight closes it."""
    layers = () if signals is None else signals.layers
    open_ones = [layer for layer in layers if layer.dead_fraction != 1 or not _is_closed(subject.module)]
    return max(open_ones, key=lambda layer: layer.dead_fraction or 0.0, default=None)


def _is_closed(module: nn.Module) -> bool:
    """Whether a layer starts with weights that are all 0, as γ of a residual branch does on purpose."""
    weights = (parameter for name, parameter in module.named_parameters() if name.endswith("weight"))
    return any(parameter.numel() > 0 and not bool(parameter.any()) for parameter in weights)


def _no_gradient(layer: LayerSignal, samples: int) -> Finding:
    share = layer.dead_fraction or 0.0
    return Finding(
        "warning",
        f"At {layer.name}, {round(share * layer.units)} of {layer.units} units are dead: no gradient passes them, "
        f"whichever of the {samples} samples. They learn nothing until layers below bring them back. Batch norm in "
        "front of the activation, a leaky one, or a smaller learning rate from fresh weights keeps units alive.",
        share,
        f"part of the units at {layer.name} that are dead",
    )


def _share_constant(layer: LayerHealth) -> float:
    return float(layer.is_constant.mean())


def _one_value(layer: LayerHealth) -> Finding:
    share = _share_constant(layer)
    return Finding(
        "warning",
        f"At {layer.name}, {int(layer.is_constant.sum())} of {layer.found.channels} channels have one value for all "
        f"{layer.found.samples:,} inputs: batch norm gives nothing but β for them. Look for inputs that never "
        "change, or for dead units in front of it.",
        share,
        f"part of the channels at {layer.name} that are constant",
    )
