"""Batch norm itself: its two passes in closed form, the statistics of inference, how far they are off, and noise."""

from normfield.measure.batch_norm.closed_form import batch_norm_backward, batch_norm_forward
from normfield.measure.batch_norm.closed_form_result import BatchNormGradients, NormalisedBatch
from normfield.measure.batch_norm.drift import statistics_drift
from normfield.measure.batch_norm.drift_result import LayerDrift, StatisticsDrift
from normfield.measure.batch_norm.noisy import NoisyBatchNorm, with_noisy_batch_norm
from normfield.measure.batch_norm.population import population_statistics, recalibrate_
from normfield.measure.batch_norm.population_result import LayerStatistics, PopulationStatistics

__all__ = [
    "BatchNormGradients",
    "LayerDrift",
    "LayerStatistics",
    "NoisyBatchNorm",
    "NormalisedBatch",
    "PopulationStatistics",
    "StatisticsDrift",
    "batch_norm_backward",
    "batch_norm_forward",
    "population_statistics",
    "recalibrate_",
    "statistics_drift",
    "with_noisy_batch_norm",
]
