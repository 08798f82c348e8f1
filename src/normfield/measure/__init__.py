"""Any module, measured as it trains: curvature under the statistics of one's choice, nothing changed."""

from normfield.measure.as_operator import CurvatureOperator, curvature_operator
from normfield.measure.batch_size_result import CurvatureByBatchSize
from normfield.measure.batch_sizes import curvature_by_batch_size
from normfield.measure.by_layer import layer_curvature
from normfield.measure.by_layer_result import BlockCurvature, LayerCurvature
from normfield.measure.densities import spectral_density
from normfield.measure.density_result import DensityCurve, Estimate, SpectralDensity
from normfield.measure.edge import PreconditionedCurvature
from normfield.measure.ntk import empirical_ntk
from normfield.measure.ntk_result import EmpiricalNTK
from normfield.measure.preconditioned import preconditioned_curvature
from normfield.measure.result import Curvature
from normfield.measure.softmax import OutputCovariance, output_covariance
from normfield.measure.spectrum import curvature
from normfield.measure.trace_result import Trace
from normfield.measure.traces import curvature_trace

__all__ = [
    "BlockCurvature",
    "Curvature",
    "CurvatureByBatchSize",
    "CurvatureOperator",
    "DensityCurve",
    "EmpiricalNTK",
    "Estimate",
    "LayerCurvature",
    "OutputCovariance",
    "PreconditionedCurvature",
    "SpectralDensity",
    "Trace",
    "curvature",
    "curvature_by_batch_size",
    "curvature_operator",
    "curvature_trace",
    "empirical_ntk",
    "layer_curvature",
    "output_covariance",
    "preconditioned_curvature",
    "spectral_density",
]
