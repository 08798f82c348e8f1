"""How far running statistics are from the exact ones, as an instrument."""

from __future__ import annotations

from typing import Any

from normfield.measure.batch_norm import statistics_drift
from normfield.train.monitoring.moment import Moment


class RunningStatistics:
    """Error of each running mean in exact standard deviations, ratio of variances, and the losses that follow."""

    def __call__(self, moment: Moment) -> dict[str, Any]:
        """Nothing by layer where the model has no batch norm."""
        found = statistics_drift(moment.model, list(moment.batches), moment.loss, seed=moment.seed)
        by_layer = {
            quantity: {
                layer.name or "the module": getattr(layer, quantity) for layer in found.layers.values()
            }
            for quantity in ("mean_error", "variance_ratio")
        }
        return {**by_layer, **{f"loss_{kind}": loss for kind, loss in (found.losses or {}).items()}}
