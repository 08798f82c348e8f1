"""Any module, measured as it trains: curvature under the statistics of one's choice, nothing changed."""

from normfield.measure.result import Curvature
from normfield.measure.softmax import OutputCovariance, output_covariance
from normfield.measure.spectrum import curvature

__all__ = ["Curvature", "OutputCovariance", "curvature", "output_covariance"]
