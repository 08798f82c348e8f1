"""The first reading of a description: infinite width, in float64, without torch."""

from normfield.theory.cross_entropy import CrossEntropyEigenvalue
from normfield.theory.depth import CollapseTransition, DepthLimits, FixedPoint, depth_limits
from normfield.theory.field import MeanField
from normfield.theory.fisher import Term
from normfield.theory.gaussian import Moments, PairMoments, moments, pair_moments
from normfield.theory.population import OrderParameters
from normfield.theory.random_matrices import FussCatalan, fuss_catalan
from normfield.theory.reading import mean_field

__all__ = [
    "CollapseTransition",
    "CrossEntropyEigenvalue",
    "DepthLimits",
    "FixedPoint",
    "FussCatalan",
    "MeanField",
    "Moments",
    "OrderParameters",
    "PairMoments",
    "Term",
    "depth_limits",
    "fuss_catalan",
    "mean_field",
    "moments",
    "pair_moments",
]
