"""Least squares, given by second moments or by data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.theory.linear_models.objectives.objective import Local
from normfield.theory.linear_models.objectives.quadratic import Quadratic
from normfield.theory.linear_models.reading import check_correlated, numbers, one_number
from normfield.theory.linear_models.spectrum import Spectrum, spectrum


@dataclass(frozen=True, eq=False)
class LeastSquares:
    r"""Half the mean squared error of a linear predictor of centred inputs and targets.

    .. math::
        J(w) = \tfrac12\mathbb{E}(y - w^\top x)^2 = J^* + \tfrac12(w - u)^\top H(w - u),\quad u = H^{-1}g

    with H = E[xxᵀ] the ``hessian`` and g = E[xy] the ``correlation``.

    Parameters
    ----------
    hessian : array (d, d)
        H, symmetric and positive definite.
    correlation : array (d,)
        g, not 0.
    least_loss : float
        J*, the loss that is left at u; 0 where y = uᵀx.

    Raises
    ------
    InvalidInput
        H is singular or not symmetric, g is 0, the shapes do not agree, or a number is not finite.

    Examples
    --------
    >>> problem = LeastSquares(np.diag([1.0, 4.0, 9.0]), [1.0, 1.0, 1.0])
    >>> problem.condition_number, round(problem.projected_condition_number, 3)
    (9.0, 2.493)
    """

    hessian: np.ndarray
    correlation: np.ndarray
    least_loss: float = 0.0

    def __post_init__(self) -> None:
        for name, shape in (("hessian", "(d, d)"), ("correlation", "(d,)")):
            object.__setattr__(self, name, numbers(name, getattr(self, name), shape))
        object.__setattr__(self, "least_loss", one_number("least_loss", self.least_loss))
        if len(self.correlation) != len(self.spectrum.eigenvalues):
            raise InvalidInput(
                expected=f"a correlation of {len(self.hessian)} inputs",
                got=f"{len(self.correlation)} numbers",
            )
        check_correlated(self.correlation)

    @cached_property
    def spectrum(self) -> Spectrum:
        """H by eigenvalues and eigenvectors."""
        return spectrum("hessian", self.hessian)

    @cached_property
    def minimiser(self) -> np.ndarray:
        """u = H⁻¹g (d,)."""
        return self.spectrum.solved(self.correlation)

    @property
    def eigenvalues(self) -> np.ndarray:
        """λ (d,) of H, rising."""
        return self.spectrum.eigenvalues

    @cached_property
    def projected_eigenvalues(self) -> np.ndarray:
        """λ* (d − 1,) of H* = H − HuuᵀH/(uᵀHu), rising, without its 0; they interlace those of H."""
        return self.spectrum.projected(self.minimiser)

    @property
    def condition_number(self) -> float:
        """κ = λ_max(H)/λ_min(H)."""
        return self.spectrum.condition_number

    @property
    def projected_condition_number(self) -> float:
        """κ* = λ_max(H*)/λ_min(H*) ≤ κ, over nonzero eigenvalues; NaN of a single input."""
        found = self.projected_eigenvalues
        return float(found[-1] / found[0]) if len(found) else float("nan")

    @cached_property
    def objective(self) -> Quadratic:
        """J − J* in the coordinates of the eigenvectors."""
        return Quadratic(self.eigenvalues, self.spectrum.inwards(self.correlation))

    @property
    def local(self) -> Local:
        """What a descent's rate near u depends on; with batch norm ∂²J/∂a² = 1."""
        return Local(self.eigenvalues, self.projected_eigenvalues, 1.0)

    @property
    def caveat(self) -> str:
        """Nothing: it is what the theorems are about."""
        return ""

    def loss(self, weights: Any) -> Any:
        """J of weights (…, d), one number each.

        Raises
        ------
        InvalidInput
            The weights do not fit the inputs.
        """
        off = np.asarray(weights, dtype=float)
        if off.shape[-1:] != self.correlation.shape:
            raise InvalidInput(expected=f"weights (…, {len(self.correlation)})", got=f"shape {off.shape}")
        off = off - self.minimiser
        return self.least_loss + np.sum(off * (off @ self.hessian), axis=-1) / 2

    def __str__(self) -> str:
        return (
            f"least squares of {len(self.correlation)} inputs: κ = {self.condition_number:.4g}, "
            f"κ* = {self.projected_condition_number:.4g} with batch norm"
        )


def least_squares_problem(inputs: Any, targets: Any) -> LeastSquares:
    """Least squares on a table, inputs and targets centred as batch norm centres them.

    Parameters
    ----------
    inputs : array (n, d)
        One row per sample. Nothing is rescaled: κ depends on the inputs' units.
    targets : array (n,)

    Returns
    -------
    LeastSquares
        H = XᵀX/n and g = Xᵀy/n of the centred table, and J* of its least-squares fit.

    Raises
    ------
    InvalidInput
        The lengths differ, a number is not finite, an input is constant or a combination of others, or the targets do
        not depend on the inputs.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((100, 3))
    >>> least_squares_problem(x, x @ [1.0, -1.0, 0.5]).minimiser.round(6)
    array([ 1. , -1. ,  0.5])
    """
    x, y = numbers("inputs", inputs, "(n, d)"), numbers("targets", targets, "(n,)")
    if len(x) != len(y):
        raise InvalidInput(expected="as many targets as inputs", got=f"{len(y)} and {len(x)}")
    x, y = x - x.mean(axis=0), y - y.mean()
    if not np.any(y):
        raise InvalidInput(expected="targets that vary", got="the same target for every sample")
    problem = LeastSquares(x.T @ x / len(x), x.T @ y / len(x))
    left = float(np.mean((y - x @ problem.minimiser) ** 2)) / 2
    return LeastSquares(problem.hessian, problem.correlation, left)
