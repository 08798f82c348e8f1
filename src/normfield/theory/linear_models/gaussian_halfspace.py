"""A halfspace whose signed inputs are Gaussian, given by their moments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from normfield.errors import InvalidInput
from normfield.theory.linear_models.margin_loss import MarginLoss, margin_loss
from normfield.theory.linear_models.objectives.gaussian_margin import GaussianMargin
from normfield.theory.linear_models.objectives.objective import Local
from normfield.theory.linear_models.reading import check_correlated, numbers
from normfield.theory.linear_models.spectrum import Spectrum, spectrum


@dataclass(frozen=True, eq=False)
class GaussianHalfspace:
    r"""Expected loss of a halfspace whose signed inputs are Gaussian.

    .. math::
        f(w) = \mathbb{E}\,\varphi(z^\top w),\qquad z = -yx \sim N(u, S - uu^\top),\quad u = -g

    with g = E[yx] the ``correlation`` and S = E[xxᵀ] the ``second_moment`` [Kohler]. Its minimum is a multiple of S⁻¹g,
    the direction of least squares. Expectations are by quadrature, to about 10⁻¹⁵.

    Parameters
    ----------
    second_moment : array (d, d)
        S, symmetric and positive definite.
    correlation : array (d,)
        g, not 0, with gᵀS⁻¹g < 1: otherwise S − ggᵀ is no covariance, or the classes are separable.
    loss
        "logistic" | "softplus" | "soft_hinge", or a `MarginLoss`.

    Raises
    ------
    InvalidInput
        The moments are singular, 0, of other shapes or of no Gaussian, or the loss is unknown.

    Examples
    --------
    >>> problem = GaussianHalfspace(np.diag([1.0, 2.0]), [0.5, 0.5])
    >>> problem.minimiser.round(6).tolist()
    [1.6, 0.8]
    """

    second_moment: np.ndarray
    correlation: np.ndarray
    loss: MarginLoss | str = "logistic"

    def __post_init__(self) -> None:
        for name, shape in (("second_moment", "(d, d)"), ("correlation", "(d,)")):
            object.__setattr__(self, name, numbers(name, getattr(self, name), shape))
        object.__setattr__(self, "loss", margin_loss(self.loss))
        if len(self.correlation) != len(self.spectrum.eigenvalues):
            raise InvalidInput(
                expected=f"a correlation of {len(self.second_moment)} inputs",
                got=f"{len(self.correlation)} numbers",
            )
        check_correlated(self.correlation)
        _check_covariance(float(self.correlation @ self.spectrum.solved(self.correlation)))

    @cached_property
    def spectrum(self) -> Spectrum:
        """S by eigenvalues and eigenvectors."""
        return spectrum("second_moment", self.second_moment)

    @cached_property
    def objective(self) -> GaussianMargin:
        """f − f* in the coordinates of the eigenvectors."""
        return GaussianMargin(
            self.spectrum.eigenvalues, self.spectrum.inwards(self.correlation), margin_loss(self.loss)
        )

    @property
    def local(self) -> Local:
        """What is known of f about its minimum: how directions contract; not ∇²f as a whole."""
        unknown = np.full(len(self.correlation), np.nan)
        return Local(unknown, self.spectrum.projected(self.minimiser), self.objective.scale_curvature)

    @property
    def minimiser(self) -> np.ndarray:
        """The w̃ (d,) of least loss, a multiple of S⁻¹g."""
        return self.spectrum.outwards(self.objective.minimiser)

    @property
    def least_loss(self) -> float:
        """f*."""
        return self.objective.least

    @property
    def caveat(self) -> str:
        """Nothing: it is what the theorems are about."""
        return ""

    def __str__(self) -> str:
        return f"a halfspace of {len(self.correlation)} Gaussian inputs: κ = {self.spectrum.condition_number:.4g}"


def _check_covariance(explained: float) -> None:
    if explained < 1 - 1e-12:
        return
    raise InvalidInput(
        expected="a correlation with gᵀS⁻¹g < 1",
        got=f"{explained:.6g}",
        instead="at 1 the classes are separable and the loss has no minimum, above 1 S − ggᵀ is no covariance",
    )
