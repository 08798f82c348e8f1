"""Convergence of linear models with batch norm: least squares and halfspaces, in float64 [Cai; Kohler]."""

from normfield.theory.linear_models.descending import descend
from normfield.theory.linear_models.descent import Descent
from normfield.theory.linear_models.gaussian_halfspace import GaussianHalfspace
from normfield.theory.linear_models.least_squares import LeastSquares, least_squares_problem
from normfield.theory.linear_models.margin_loss import MarginLoss
from normfield.theory.linear_models.normality import Departure
from normfield.theory.linear_models.plateau import Plateau
from normfield.theory.linear_models.sampled_halfspace import SampledHalfspace, halfspace_problem
from normfield.theory.linear_models.steps.batch_norm import BatchNormSteps
from normfield.theory.linear_models.steps.gradient import GradientSteps
from normfield.theory.linear_models.steps.heavy_ball import HeavyBallSteps
from normfield.theory.linear_models.steps.nesterov import NesterovSteps
from normfield.theory.linear_models.steps.normalised import NormalisedSteps

__all__ = [
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
]
