"""Which weights' lengths the loss does not feel, and the learning rate that their directions see, as an instrument."""

from __future__ import annotations

from typing import Any

from normfield.measure.invariance import ScaledWeight, scale_invariance
from normfield.train.monitoring.moment import Moment


class WeightLengths:
    """By weight: ‖W‖, the cosine of W with its gradient, whether it is scale-invariant (1 or 0), and then η/‖W‖²."""

    def __call__(self, moment: Moment) -> dict[str, dict[str, Any]]:
        """The effective learning rates only where a learning rate is known."""
        found = scale_invariance(
            moment.model, moment.batch, moment.loss, statistics=moment.statistics, seed=moment.seed
        )
        weights = found.weights
        by_weight: dict[str, dict[str, Any]] = {
            "norm": {weight.name: weight.norm for weight in weights},
            "cosine": {weight.name: weight.cosine for weight in weights},
            "invariant": {weight.name: float(weight.is_invariant) for weight in weights},
        }
        if moment.learning_rate is not None:
            rate = moment.learning_rate
            by_weight["effective_learning_rate"] = {
                weight.name: _effective(weight, rate) for weight in weights if weight.is_invariant
            }
        return by_weight


def _effective(weight: ScaledWeight, rate: float) -> float:
    """η/‖W‖²."""
    return rate / weight.norm**2
