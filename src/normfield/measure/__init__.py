"""Any module, measured as it trains: curvature under the statistics of one's choice, nothing changed.

One floor stands on the other: `subject` (the module, its batches, loss and mode), `matrix` (its products with vectors),
`eigenvalues`; on top of them `whole_spectrum` (trace, density, blocks by layer), `optimizers` and `tangent_kernel`.
"""

from normfield.measure.eigenvalues.batch_size_result import CurvatureByBatchSize
from normfield.measure.eigenvalues.batch_sizes import curvature_by_batch_size
from normfield.measure.eigenvalues.result import Curvature
from normfield.measure.eigenvalues.spectrum import curvature
from normfield.measure.matrix.as_operator import CurvatureOperator, curvature_operator
from normfield.measure.optimizers.edge import PreconditionedCurvature
from normfield.measure.optimizers.preconditioned import preconditioned_curvature
from normfield.measure.subject.softmax import OutputCovariance, output_covariance
from normfield.measure.tangent_kernel.ntk import empirical_ntk
from normfield.measure.tangent_kernel.ntk_result import EmpiricalNTK
from normfield.measure.whole_spectrum.by_layer import layer_curvature
from normfield.measure.whole_spectrum.by_layer_result import BlockCurvature, LayerCurvature
from normfield.measure.whole_spectrum.densities import spectral_density
from normfield.measure.whole_spectrum.density_result import DensityCurve, Estimate, SpectralDensity
from normfield.measure.whole_spectrum.trace_result import Trace
from normfield.measure.whole_spectrum.traces import curvature_trace

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
