"""A halfspace that tells two classes of samples apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.theory.linear_models.margin_loss import MarginLoss, margin_loss
from normfield.theory.linear_models.newton import least_point
from normfield.theory.linear_models.normality import Departure, departure
from normfield.theory.linear_models.objectives.objective import Local
from normfield.theory.linear_models.objectives.sampled_margin import SampledMargin
from normfield.theory.linear_models.reading import check_correlated, numbers
from normfield.theory.linear_models.spectrum import Spectrum, spectrum


@dataclass(frozen=True, eq=False)
class SampledHalfspace:
    """Mean loss of a halfspace over samples; made by `halfspace_problem`.

    Parameters
    ----------
    samples : array (n, d)
        z = −yx.
    loss
        Of zᵀw.
    """

    samples: np.ndarray
    loss: MarginLoss | str = "logistic"

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", numbers("samples", self.samples, "(n, d)"))
        object.__setattr__(self, "loss", margin_loss(self.loss))
        check_correlated(self.correlation)
        _ = self.minimiser  # where classes are separable there is none: say so now

    @cached_property
    def correlation(self) -> np.ndarray:
        """g = E[yx] (d,)."""
        return -self.samples.mean(axis=0)

    @cached_property
    def spectrum(self) -> Spectrum:
        """S = E[xxᵀ] by eigenvalues and eigenvectors."""
        return spectrum("second moment", self.samples.T @ self.samples / len(self.samples))

    @cached_property
    def minimiser(self) -> np.ndarray:
        """The w̃ (d,) of least loss, by Newton's method."""
        inwards = self.spectrum.inwards(self.samples) / np.sqrt(self.spectrum.eigenvalues)
        found = least_point(margin_loss(self.loss), inwards)
        return self.spectrum.outwards(found / np.sqrt(self.spectrum.eigenvalues))

    @cached_property
    def objective(self) -> SampledMargin:
        """f − f* in the coordinates of the eigenvectors."""
        return SampledMargin(
            self.spectrum.eigenvalues,
            self.spectrum.inwards(self.correlation),
            margin_loss(self.loss),
            self.spectrum.inwards(self.samples),
            self.least_loss,
        )

    @cached_property
    def local(self) -> Local:
        """Eigenvalues of ∇²f at the minimum; how a norm's directions contract is known of Gaussian inputs only."""
        bends = margin_loss(self.loss).bend(self.samples @ self.minimiser)
        curvature = np.linalg.eigvalsh((self.samples.T * bends) @ self.samples / len(self.samples))
        return Local(curvature, np.full(max(len(curvature) - 1, 1), np.nan), float("nan"))

    @cached_property
    def least_loss(self) -> float:
        """f*."""
        return float(margin_loss(self.loss).value(self.samples @ self.minimiser).mean())

    @cached_property
    def departure(self) -> Departure:
        """How far the samples z are from Gaussian, which Kohler's theorem takes them for."""
        return departure(self.samples)

    @property
    def caveat(self) -> str:
        """What Kohler's theorem assumes that these samples are not; "" where they are near enough."""
        if not self.departure.is_far:
            return ""
        return f"the theorem is about Gaussian inputs, and these are not: {self.departure}"

    def __str__(self) -> str:
        n, d = self.samples.shape
        return f"a halfspace over {n} samples of {d} inputs: κ = {self.spectrum.condition_number:.4g}"


def halfspace_problem(inputs: Any, labels: Any, loss: MarginLoss | str = "logistic") -> SampledHalfspace:
    """A halfspace through 0 that tells two classes apart, on data.

    Parameters
    ----------
    inputs : array (n, d)
        One row per sample; nothing is centred or rescaled. A column of ones gives the halfspace an intercept.
    labels : array (n,)
        Two values; the larger is y = 1, the other y = −1.
    loss
        "logistic" | "softplus" | "soft_hinge", or a `MarginLoss`.

    Returns
    -------
    SampledHalfspace

    Raises
    ------
    InvalidInput
        There are not two classes, a halfspace separates them (the loss then has no minimum), inputs are combinations of
        one another, or a number is not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 2))
    >>> problem = halfspace_problem(x, x[:, 0] + rng.standard_normal(500) > 0)
    >>> descend(problem, "batch_norm", 1.0, tolerance=1e-8).status.item()
    'converged'
    """
    x, y = numbers("inputs", inputs, "(n, d)"), numbers("labels", labels, "(n,)")
    if len(x) != len(y):
        raise InvalidInput(expected="as many labels as inputs", got=f"{len(y)} and {len(x)}")
    classes = np.unique(y)
    if len(classes) != 2:
        raise InvalidInput(expected="labels of two classes", got=f"{len(classes)} different labels")
    return SampledHalfspace(np.where(y == classes[1], -1.0, 1.0)[:, None] * x, margin_loss(loss))
