"""Any module, measured as it trains: curvature under the statistics of one's choice, nothing changed."""

from normfield.measure.batch_size_result import CurvatureByBatchSize
from normfield.measure.batch_sizes import curvature_by_batch_size
from normfield.measure.edge import PreconditionedCurvature
from normfield.measure.ntk import empirical_ntk
from normfield.measure.ntk_result import EmpiricalNTK
from normfield.measure.preconditioned import preconditioned_curvature
from normfield.measure.result import Curvature
from normfield.measure.softmax import OutputCovariance, output_covariance
from normfield.measure.spectrum import curvature

__all__ = [
    "Curvature",
    "CurvatureByBatchSize",
    "EmpiricalNTK",
    "OutputCovariance",
    "PreconditionedCurvature",
    "curvature",
    "curvature_by_batch_size",
    "empirical_ntk",
    "output_covariance",
    "preconditioned_curvature",
]
