"""The problems that a descent can minimise.

Each has the moments S (``spectrum``) and g (``correlation``) of its inputs, its loss above the least in the coordinates
of S's eigenvectors (``objective``), what is known of it about its minimum (``local``, ``least_loss``), and which
assumption of the theorems it does not meet (``caveat``).
"""

from __future__ import annotations

from normfield.theory.linear_models.gaussian_halfspace import GaussianHalfspace
from normfield.theory.linear_models.least_squares import LeastSquares
from normfield.theory.linear_models.sampled_halfspace import SampledHalfspace

Problem = LeastSquares | GaussianHalfspace | SampledHalfspace
