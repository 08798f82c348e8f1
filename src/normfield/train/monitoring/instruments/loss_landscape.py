"""The landscape along the gradient, as an instrument."""

from __future__ import annotations

import math

from normfield.measure.landscape import landscape
from normfield.train.monitoring.moment import Moment

POINTS = 8
"""Steps along the gradient, from half to four times the learning rate."""


class LossLandscape:
    """Range of the loss and of the gradient's change along the gradient, and effective smoothness [Santurkar, Fig. 4].

    [Santurkar] is Santurkar, Tsipras, Ilyas and Madry, "How Does Batch Normalization Help Optimization?", NeurIPS 2018.
    """

    def __call__(self, moment: Moment) -> dict[str, float | None]:
        """Least and largest over the steps; the smallest step that diverges, where one does."""
        rate = moment.rate_for("landscape")
        if rate == 0:  # as before a warm-up: there is no step to look along
            return {}
        found = landscape(
            moment.model,
            [moment.batch],
            moment.loss,
            learning_rate=rate,
            points=POINTS,
            statistics=moment.statistics,
            seed=moment.seed,
        )
        (least, largest), (near, far) = found.loss_range, found.gradient_range
        values = {
            "loss": found.initial_loss,
            "smallest_loss": least,
            "largest_loss": largest,
            "smallest_gradient_change": near,
            "largest_gradient_change": far,
            "effective_smoothness": found.effective_smoothness,
            "gradient_norm": found.gradient_norm,
        }
        finite = {name: value for name, value in values.items() if not math.isnan(value)}
        return {**finite, "diverging_step": found.diverging_step}
