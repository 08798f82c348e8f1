"""Signal and gradient by layer, as an instrument."""

from __future__ import annotations

from typing import Any

from normfield.measure.signals import signals
from normfield.train.monitoring.moment import Moment

QUANTITIES = (
    "root_mean_square",
    "gradient",
    "relative_weight_gradient",
    "correlation",
    "dead_fraction",
    "effective_rank",
)
"""Of each layer."""


class Signals:
    """√(E z²), ‖∂ℓ/∂z‖, ‖∂ℓ/∂W‖/‖W‖, correlation, dead fraction and effective rank by layer, and both growths."""

    def __call__(self, moment: Moment) -> dict[str, Any]:
        """By quantity and layer; the growths of the whole model."""
        found = signals(
            moment.model, moment.batch, moment.loss, statistics=moment.statistics, seed=moment.seed
        )
        by_layer: dict[str, Any] = {
            quantity: {layer.name: getattr(layer, quantity) for layer in found.layers}
            for quantity in QUANTITIES
        }
        growths = {"signal_growth": found.signal_growth, "gradient_growth": found.gradient_growth}
        return by_layer | {
            name: None if growth is None else growth.factor for name, growth in growths.items()
        }
