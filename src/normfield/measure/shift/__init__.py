"""Internal covariate shift: how the distributions of layers' inputs, and their gradients, move as a net trains."""

from normfield.measure.shift.drift import distribution_shift
from normfield.measure.shift.drift_result import DistributionShift, LayerShift
from normfield.measure.shift.gradient_result import GradientShift, LayerGradientShift
from normfield.measure.shift.gradients import gradient_shift
from normfield.measure.shift.snapshot_result import LayerInput, LayerInputs
from normfield.measure.shift.snapshots import layer_inputs

__all__ = [
    "DistributionShift",
    "GradientShift",
    "LayerGradientShift",
    "LayerInput",
    "LayerInputs",
    "LayerShift",
    "distribution_shift",
    "gradient_shift",
    "layer_inputs",
]
