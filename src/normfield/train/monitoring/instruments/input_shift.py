"""How far every layer's inputs have moved since the last look, as an instrument."""

from __future__ import annotations

from normfield.measure.shift import LayerInputs, distribution_shift, layer_inputs
from normfield.train.monitoring.moment import Moment

QUANTITIES = ("kl", "wasserstein", "mean_drift", "deviation_drift")
"""Of each layer; see `distribution_shift`."""


class InputShift:
    """Shift of the distribution of each layer's inputs from one measurement to the next, on the same samples."""

    def __init__(self) -> None:
        self._before: LayerInputs | None = None

    def __call__(self, moment: Moment) -> dict[str, dict[str, float]]:
        """By quantity and layer; the first time nothing, since there is no earlier snapshot."""
        before = self._before
        self._before = layer_inputs(
            moment.model, moment.batch, statistics=moment.statistics, seed=moment.seed
        )
        if before is None:
            return {}
        layers = distribution_shift(before, self._before).layers
        return {
            quantity: {layer.name: getattr(layer, quantity) for layer in layers} for quantity in QUANTITIES
        }
