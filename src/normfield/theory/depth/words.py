"""What a point's limits mean, in sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from normfield.report import format_number

if TYPE_CHECKING:
    from normfield.theory.depth.limits_result import DepthLimits


def title(limits: DepthLimits) -> str:
    """What was asked, in a line."""
    size = "∞" if math.isinf(limits.batch_size) else f"{limits.batch_size:,}"
    numbers = f"γ = {limits.gamma:g}, β = {limits.beta:g}, ε = {limits.eps:g}"
    variance = f", weight variance {limits.weight_variance:g}" if limits.eps else ""
    return (
        f"depth limits of batch norm with {limits.activation}, {size} samples per batch ({numbers}{variance})"
    )


def verdict(limits: DepthLimits) -> str:
    """What to expect of a deep network."""
    if limits.status:
        return limits.status
    if limits.regime == "normalised":
        return f"{_growth(limits)}{_residual(limits)}{_drift(limits)}"
    return f"{_collapse(limits)}; {_in_collapse(limits)}"


def reasons(limits: DepthLimits) -> dict[str, str]:
    """Why each number that is missing or infinite is so, by the key that stands beside it."""
    found: dict[str, str] = {}
    for name in ("explosion_rate", "depth_scale", "trainable_depth", "residual_exponent"):
        if not math.isfinite(getattr(limits, name)):
            found[f"{name}_reason"] = limits.status or "squared gradients do not grow"
    for name, least in (("norm_rate", 3), ("correlation_rate", 4)):
        if not math.isfinite(getattr(limits, name)):
            found[f"{name}_reason"] = (
                limits.status
                if limits.regime == "constant"
                else f"{limits.batch_size} samples are too few to differ so; at least {least}"
            )
    if math.isinf(limits.batch_size):
        found["batch_size_reason"] = "infinite"
    return found


def _growth(limits: DepthLimits) -> str:
    rate = limits.explosion_rate
    if math.isinf(limits.trainable_depth):
        return (
            "squared gradients keep their size from layer to layer: depth sets no limit to training"
            if abs(rate - 1) <= 1e-6
            else f"squared gradients shrink to {_share(rate)} per layer backwards"
        )
    return (
        f"squared gradients grow {_factor(rate)}-fold per layer backwards; networks deeper than about "
        f"{format_number(round(limits.trainable_depth))} layers do not train"
    )


def _residual(limits: DepthLimits) -> str:
    exponent: Any = limits.residual_exponent
    if not math.isfinite(exponent):
        return ""
    return f"; with blocks x + Wφ(BN(x)) they grow only like (depth/layer)^{format_number(exponent)}"


def _drift(limits: DepthLimits) -> str:
    if limits.is_stable:
        return ""
    return (
        "; the fixed point is unstable (differences between samples' norms or correlations grow with depth), so "
        "that deep networks drift away from it"
    )


def _collapse(limits: DepthLimits) -> str:
    symmetric, outlier = limits.transition.symmetric, limits.transition.outlier
    if limits.regime == "outlier":
        return (
            f"ε = {limits.eps:g} is above {format_number(symmetric)}, where batches of like samples collapse, and "
            f"below {format_number(outlier)}, up to which one outlying sample keeps its batch alive"
        )
    return (
        f"ε = {limits.eps:g} is above {format_number(max(symmetric, outlier))}: the differences between samples fall "
        "below it and die out with depth"
    )


def _in_collapse(limits: DepthLimits) -> str:
    verb = "grow" if limits.explosion_rate > 1 else "shrink"
    return f"in the collapsed batch squared gradients {verb} to {_share(limits.explosion_rate)} per layer backwards"


def _factor(rate: float) -> str:
    """Digits enough to tell the factor from 1."""
    return f"{rate:.2f}" if rate >= 1.02 else f"{rate:.{2 - math.floor(math.log10(rate - 1))}f}"


def _share(rate: float) -> str:
    return f"{format_number(100 * rate)} %"
