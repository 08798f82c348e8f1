"""Normfield: what batch normalisation does to a network before it trains.

Names are loaded when first used, so that ``import normfield`` is quick and theory never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from normfield.data import DataSet, load
    from normfield.diagnosis import Diagnosis, diagnose
    from normfield.diagnosis.watched_training import training_page
    from normfield.errors import (
        DataUnavailable,
        InvalidInput,
        NormfieldError,
        NotCovered,
        NumericalFailure,
        StoreError,
    )
    from normfield.measure import (
        Curvature,
        CurvatureByBatchSize,
        CurvatureOperator,
        EmpiricalNTK,
        LayerCurvature,
        PreconditionedCurvature,
        SpectralDensity,
        Trace,
        curvature,
        curvature_by_batch_size,
        curvature_operator,
        curvature_trace,
        empirical_ntk,
        layer_curvature,
        preconditioned_curvature,
        spectral_density,
    )
    from normfield.measure.batch_norm import (
        BatchNormGradients,
        LayerDrift,
        LayerStatistics,
        NoisyBatchNorm,
        NormalisedBatch,
        PopulationStatistics,
        StatisticsDrift,
        batch_norm_backward,
        batch_norm_forward,
        population_statistics,
        recalibrate_,
        statistics_drift,
        with_noisy_batch_norm,
    )
    from normfield.measure.invariance import (
        LengthDirection,
        ScaleInvariance,
        length_direction,
        scale_invariance,
    )
    from normfield.measure.landscape import (
        GradientInequality,
        Landscape,
        LayerInequality,
        gradient_inequality,
        landscape,
    )
    from normfield.measure.noise import GradientNoise, gradient_noise
    from normfield.measure.shift import (
        DistributionShift,
        GradientShift,
        InputPercentiles,
        LayerInputs,
        distribution_shift,
        gradient_shift,
        input_percentiles,
        layer_inputs,
    )
    from normfield.measure.signals import (
        ChannelMoments,
        FirstSteps,
        GradientCoherence,
        LayerChannels,
        LayerCoherence,
        LayerSignal,
        LayerSignals,
        OutputGradients,
        channel_moments,
        first_steps,
        gradient_coherence,
        output_gradients,
        signals,
    )
    from normfield.nets import Description, build, describe, examine, init_gamma_
    from normfield.network import (
        Activation,
        ActivationFunction,
        AveragePool,
        BatchNorm,
        Conv,
        Dense,
        Flatten,
        GlobalAveragePool,
        LayerNorm,
        MaxPool,
        Network,
        Residual,
        RMSNorm,
        convnet,
        mlp,
        read_network,
    )
    from normfield.studies import Study, StudyResult, read_study, run_study, study, study_names
    from normfield.sweep import Progress, Sweep, read_sweep, resume_sweep, run_sweep
    from normfield.theory import DepthLimits, FussCatalan, MeanField, depth_limits, fuss_catalan, mean_field
    from normfield.theory.kernels import (
        BatchKernel,
        CrossBatchKernel,
        DepthProfile,
        KernelRegression,
        batch_kernel,
        cross_batch_kernel,
        depth_profile,
        kernel_regression,
    )
    from normfield.theory.linear_models import (
        BatchNormSteps,
        Departure,
        Descent,
        GaussianHalfspace,
        GradientSteps,
        HeavyBallSteps,
        LeastSquares,
        MarginLoss,
        NesterovSteps,
        NormalisedSteps,
        Plateau,
        SampledHalfspace,
        descend,
        halfspace_problem,
        least_squares_problem,
    )
    from normfield.train import CriticalLearningRate, critical_learning_rate
    from normfield.train.boundary_lines import BoundaryLine, trace_boundary
    from normfield.train.decoupling import DecoupledRun, train_decoupled
    from normfield.train.ensemble import Ensemble, Member, train_ensemble
    from normfield.train.monitoring import Moment, Monitor, MonitorRecord, lightning_callback
    from normfield.train.suggestion import LearningRateSuggestion, suggest_learning_rate
    from normfield.train.sweeps import PhaseDiagram, TrainingTask, phase_diagram

_HOMES = {
    "data": ("DataSet", "load"),
    "diagnosis": ("Diagnosis", "diagnose"),
    "diagnosis.watched_training": ("training_page",),
    "errors": (
        "DataUnavailable",
        "InvalidInput",
        "NormfieldError",
        "NotCovered",
        "NumericalFailure",
        "StoreError",
    ),
    "measure": (
        "Curvature",
        "CurvatureByBatchSize",
        "CurvatureOperator",
        "EmpiricalNTK",
        "LayerCurvature",
        "PreconditionedCurvature",
        "SpectralDensity",
        "Trace",
        "curvature",
        "curvature_by_batch_size",
        "curvature_operator",
        "curvature_trace",
        "empirical_ntk",
        "layer_curvature",
        "preconditioned_curvature",
        "spectral_density",
    ),
    "measure.batch_norm": (
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
    ),
    "measure.invariance": (
        "LengthDirection",
        "ScaleInvariance",
        "length_direction",
        "scale_invariance",
    ),
    "measure.landscape": (
        "GradientInequality",
        "Landscape",
        "LayerInequality",
        "gradient_inequality",
        "landscape",
    ),
    "measure.signals": (
        "ChannelMoments",
        "FirstSteps",
        "GradientCoherence",
        "LayerChannels",
        "LayerCoherence",
        "LayerSignal",
        "LayerSignals",
        "OutputGradients",
        "channel_moments",
        "first_steps",
        "gradient_coherence",
        "output_gradients",
        "signals",
    ),
    "measure.noise": ("GradientNoise", "gradient_noise"),
    "measure.shift": (
        "DistributionShift",
        "GradientShift",
        "InputPercentiles",
        "LayerInputs",
        "distribution_shift",
        "gradient_shift",
        "input_percentiles",
        "layer_inputs",
    ),
    "nets": ("Description", "build", "describe", "examine", "init_gamma_"),
    "network": (
        "Activation",
        "ActivationFunction",
        "AveragePool",
        "BatchNorm",
        "Conv",
        "Dense",
        "Flatten",
        "GlobalAveragePool",
        "LayerNorm",
        "MaxPool",
        "Network",
        "RMSNorm",
        "Residual",
        "convnet",
        "mlp",
        "read_network",
    ),
    "studies": ("Study", "StudyResult", "read_study", "run_study", "study", "study_names"),
    "sweep": ("Progress", "Sweep", "read_sweep", "resume_sweep", "run_sweep"),
    "theory": ("DepthLimits", "FussCatalan", "MeanField", "depth_limits", "fuss_catalan", "mean_field"),
    "theory.kernels": (
        "BatchKernel",
        "CrossBatchKernel",
        "DepthProfile",
        "KernelRegression",
        "batch_kernel",
        "cross_batch_kernel",
        "depth_profile",
        "kernel_regression",
    ),
    "theory.linear_models": (
        "BatchNormSteps",
        "Departure",
        "Descent",
        "GaussianHalfspace",
        "GradientSteps",
        "HeavyBallSteps",
        "LeastSquares",
        "MarginLoss",
        "NesterovSteps",
        "NormalisedSteps",
        "Plateau",
        "SampledHalfspace",
        "descend",
        "halfspace_problem",
        "least_squares_problem",
    ),
    "train": ("CriticalLearningRate", "critical_learning_rate"),
    "train.boundary_lines": ("BoundaryLine", "trace_boundary"),
    "train.decoupling": ("DecoupledRun", "train_decoupled"),
    "train.ensemble": ("Ensemble", "Member", "train_ensemble"),
    "train.monitoring": ("Moment", "Monitor", "MonitorRecord", "lightning_callback"),
    "train.suggestion": ("LearningRateSuggestion", "suggest_learning_rate"),
    "train.sweeps": ("PhaseDiagram", "TrainingTask", "phase_diagram"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'normfield' has no attribute {name!r}")
    value = getattr(import_module(f"normfield.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
