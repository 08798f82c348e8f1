"""Findings on batch norm's statistics: noise of small batches, and running ones that are far from exact."""

from __future__ import annotations

import math

from normfield.diagnosis.asked import Asked
from normfield.diagnosis.health import Health
from normfield.measure.batch_norm import LayerDrift, StatisticsDrift
from normfield.report import Finding, format_number

_NOISY = 0.2  # relative spread of standard deviations: that of about 12 independent values
_OFF, _BEYOND_CHANCE = 0.25, 3.0  # means, in standard deviations, and in what chance leaves
_RATIO = 1.5  # variances
_FEW_UPDATES = 20


def batch_too_small(asked: Asked, health: Health | None) -> Finding | None:
    """Statistics that differ much from batch to batch."""
    layers = [layer for layer in (() if health is None else health.layers) if layer.deviation_spread > _NOISY]
    worst = max(layers, key=lambda layer: layer.deviation_spread, default=None)
    if worst is None:
        return None
    spread = worst.deviation_spread
    return Finding(
        "warning",
        f"Batches of {asked.batch_size} are small for their statistics: at {worst.name} the median channel's standard "
        f"deviation changes by {100 * spread:.0f} % from batch to batch, as over {_values(spread)} independent values, "
        "and with it every output. Larger batches lower it; synchronised batch norm over "
        "devices, or a norm that does not read the batch avoid it.",
        100 * spread,
        f"% by which standard deviations at {worst.name} differ between batches",
    )


def _values(spread: float) -> str:
    """n of 1/√(2n)."""
    return format_number(max(1.0, 1 / (2 * spread**2)), 2)


def running_statistics(health: Health | None) -> Finding | None:
    """Running statistics of a trained module that are not those of its weights and data."""
    drift = None if health is None else health.drift
    if drift is None:
        return None
    worst = max(drift.layers.values(), key=_badness, default=None)
    if worst is None or not _is_off(worst):
        return None
    return Finding(
        "warning",
        f"Running statistics are far from exact at {worst.name or 'the module'}: means by "
        f"{format_number(worst.mean_error, 2)} standard deviations, variances {format_number(worst.variance_ratio, 3)} "
        f"times the exact ones.{_losses(drift)} {_why(worst)} nf.recalibrate_(model, batches) puts the exact ones in "
        "their place.",
        *_number(worst),
    )


def _number(layer: LayerDrift) -> tuple[float, str]:
    """What is further off, and what it is."""
    where = f"at {layer.name or 'the module'}"
    if layer.mean_error == _badness(layer):
        return layer.mean_error, f"standard deviations that running means are off {where}"
    return layer.variance_ratio, f"running over exact variance {where}"


def _badness(layer: LayerDrift) -> float:
    """How far off in either way: standard deviations of the mean, or decades of the variance."""
    return max(layer.mean_error, abs(math.log10(max(layer.variance_ratio, 1e-300))))


def _is_off(layer: LayerDrift) -> bool:
    chance = 0.0 if math.isnan(layer.chance_mean_error) else layer.chance_mean_error
    of_means = layer.mean_error > max(_OFF, _BEYOND_CHANCE * chance)
    return of_means or not 1 / _RATIO <= layer.variance_ratio <= _RATIO


def _losses(drift: StatisticsDrift) -> str:
    if drift.losses is None:
        return ""
    running, exact = (format_number(drift.losses[kind]) for kind in ("running", "exact"))
    return f" At inference the loss is {running} with them and {exact} with exact ones."


def _why(layer: LayerDrift) -> str:
    if layer.updates < _FEW_UPDATES:
        return f"They were written {layer.updates} times only, too few to forget their start."
    return (
        "Either the weights moved faster than the averages follow, or these data are not those it trained on."
    )
