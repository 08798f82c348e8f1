"""A finding on depth: whether gradients survive the layers, how many of them would, and what removes the growth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from normfield.diagnosis.asked import Asked
from normfield.diagnosis.subject import Subject
from normfield.errors import NormfieldError
from normfield.growth import Growth
from normfield.measure.signals import LayerSignals
from normfield.network import Activation, BatchNorm, Dense, Network
from normfield.report import Finding, format_number
from normfield.theory import DepthLimits, depth_limits
from normfield.theory.kernels import DepthProfile

_STEADY, _MUCH = 1.05, 100.0
_NEAR = 0.5  # of the depth that trains: from there on a remedy is worth a word
_GAMMAS = (0.3, 0.1)  # of a tanh that is near to linear


@dataclass(frozen=True)
class Seen:
    """The gradient's growth per layer and over all inner layers, going backwards, and who says so."""

    growth: Growth
    over_all: float
    beside: str


def gradients_by_layer(
    subject: Subject, asked: Asked, signals: LayerSignals | None, profile: DepthProfile | None
) -> Finding | None:
    """By what the gradient changes from layer to layer, how deep such layers train, and what to do."""
    seen = _seen(signals, profile)
    if seen is None:
        return None
    limits = None if subject.network is None else _limits(subject.network, asked.batch_size)
    depth = 0 if subject.network is None else subject.network.depth
    is_deep = limits is not None and depth > limits.trainable_depth
    much = max(seen.over_all, 1 / seen.over_all) > _MUCH
    words = _growth_words(seen)
    if limits is not None and subject.network is not None:
        words += _depth_words(limits, asked.batch_size, depth)
    elif much:
        words += " Fewer layers or skip connections keep it in bounds."
    severity = "warning" if much or is_deep else "note"
    return Finding(severity, words, seen.growth.factor, "factor per layer, going backwards")


def _seen(signals: LayerSignals | None, profile: DepthProfile | None) -> Seen | None:
    """Measured where it is, with the kernel's beside it; else the kernel's alone."""
    predicted = None if profile is None else profile.gradient_growth
    measured = None if signals is None else signals.gradient_growth
    if signals is not None and measured is not None:
        beside = "" if predicted is None else f" (the kernel of this batch: {predicted.factor:.3g})"
        layers = [layer.gradient for layer in signals.layers]
        return Seen(measured, layers[1] / layers[-2], beside)
    if profile is not None and predicted is not None:
        layers = [layer.gradient for layer in profile.layers]
        return Seen(predicted, layers[1] / layers[-2], " by the kernel of this batch")
    return None


def _growth_words(seen: Seen) -> str:
    factor, layers, total = seen.growth.factor, seen.growth.layers, seen.over_all
    if 1 / _STEADY < factor < _STEADY and 1 / 2 < total < 2:
        return (
            f"Gradients keep their size over the {layers} inner layers (a factor of {factor:.3g} per layer"
            f"{seen.beside}): depth is no problem here."
        )
    way, size, over = ("grow", factor, total) if factor > 1 else ("shrink", 1 / factor, 1 / total)
    return (
        f"Gradients {way} {size:.3g}-fold per layer from the output to the input{seen.beside}, "
        f"{format_number(over, 3)}-fold over the {layers} inner layers."
    )


def _limits(network: Network, batch_size: int) -> DepthLimits | None:
    """Of layers like this network's: a dense chain, whose batch norms and activations are all alike; else None."""
    layers = network.layers
    kinds = {type(layer) for layer in layers}
    norms = {(layer.gamma, layer.beta, layer.eps) for layer in layers if isinstance(layer, BatchNorm)}
    activations = {layer.row.name: layer for layer in layers if isinstance(layer, Activation)}
    if kinds != {Dense, BatchNorm, Activation} or len(norms) != 1 or len(activations) != 1:
        return None
    gamma, beta, eps = norms.pop()
    try:
        found = depth_limits(
            activations.popitem()[1],
            batch_size,
            gamma,
            beta,
            eps,
            weight_variance=network.weight_variance,
        )
    except NormfieldError:
        return None
    return found if found.explosion_rate > 1 and math.isfinite(found.trainable_depth) else None


def _depth_words(limits: DepthLimits, batch_size: int, depth: int) -> str:
    deepest = limits.trainable_depth
    if deepest > 1000:
        return ""
    words = (
        f" In batches of {batch_size} squared gradients grow {limits.explosion_rate:.3g}-fold per layer far from both "
        f"ends, so that about {format_number(deepest, 2)} such layers are the limit (Yang et al. 2019); this network "
        f"has {depth}."
    )
    return words + (_remedy(limits, batch_size, depth) if depth > _NEAR * deepest else "")


def _remedy(limits: DepthLimits, batch_size: int, depth: int) -> str:
    """Both ways out, with their numbers."""
    ways = []
    for gamma in _GAMMAS:
        gentle = depth_limits("tanh", batch_size, gamma)
        if gentle.trainable_depth > 2 * depth:
            ways.append(
                f"tanh with γ = {gamma:g} ({gentle.explosion_rate:.3g}-fold, about "
                f"{format_number(gentle.trainable_depth, 2)} layers)"
            )
            break
    exponent = limits.residual_exponent
    if math.isfinite(exponent):
        ways.append(
            f"skip connections around the layers (squared gradients then grow only like depth to the power "
            f"{exponent:.3g}: {format_number(depth**exponent, 2)}-fold in all instead of "
            f"{format_number(limits.explosion_rate**depth, 2)}-fold)"
        )
    return f" What removes it: {' or '.join(ways)}." if ways else ""
