"""Internal covariate shift: how the distributions of layers' inputs, and their gradients, move as a net trains."""

from normfield.measure.shift.drift import distribution_shift
from normfield.measure.shift.drift_result import DistributionShift, LayerShift
from normfield.measure.shift.gradient_result import GradientShift, LayerGradientShift
from normfield.measure.shift.gradients import gradient_shift
from normfield.measure.shift.percentile_result import InputPercentiles, LayerPercentiles
from normfield.measure.shift.percentiles import input_percentiles
from normfield.measure.shift.snapshot_result import LayerInput, LayerInputs
from normfield.measure.shift.snapshots import layer_inputs

__all__ = [
    "DistributionShift",
    "GradientShift",
    "InputPercentiles",
    "LayerGradientShift",
    "LayerInput",
    "LayerInputs",
    "LayerPercentiles",
    "LayerShift",
    "distribution_shift",
    "gradient_shift",
    "input_percentiles",
    "layer_inputs",
]
