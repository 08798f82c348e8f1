"""How far mini-batches' gradients scatter, as an instrument."""

from __future__ import annotations

import math

from normfield.measure.noise import gradient_noise
from normfield.train.monitoring.moment import Moment


class BatchNoise:
    """C = E‖∇ℓ_i − ∇ℓ‖² over the held batches, ‖∇ℓ‖², and the noise scale C/‖∇ℓ‖²."""

    def __call__(self, moment: Moment) -> dict[str, float | None]:
        """The noise scale is left out where the gradient cannot be told from noise."""
        found = gradient_noise(
            moment.model,
            list(moment.batches),
            moment.loss,
            statistics=moment.statistics,
            seed=moment.seed,
        )
        return {
            "covariance_trace": found.covariance_trace,
            "standard_error": found.standard_error,
            "squared_gradient": found.squared_gradient,
            "noise_scale": found.noise_scale if math.isfinite(found.noise_scale) else None,
        }
