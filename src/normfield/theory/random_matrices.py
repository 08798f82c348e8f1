"""Squared singular values of products of random matrices: the Fuss–Catalan law.

[Bjorck] is Bjorck, Gomes, Selman and Weinberger, "Understanding Batch Normalization", NeurIPS 2018. At its random
start a deep linear network is such a product, and the law's heavy tail is why its gradients are far larger in few
directions than in most.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import Figure, Mark, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_HALVINGS = 80  # of the interval that holds an angle, down to float64's spacing
_FURTHEST = 700.0  # of the angle's logit, whose exponential float64 still holds
_DRAWN = 400


@dataclass(frozen=True)
class _Angles:
    """φ in (0, π/(M + 1)) with what it lacks, ψ = π − (M + 1)φ, both to full relative precision."""

    phi: np.ndarray
    psi: np.ndarray

    @classmethod
    def at(cls, logit: np.ndarray, factors: int) -> _Angles:
        """ψ = π/(1 + e^−t), so that both ends can be reached closely."""
        phi = math.pi / (1 + np.exp(logit)) / (factors + 1)
        return cls(phi, math.pi / (1 + np.exp(-logit)))

    def last_sine(self, factors: int) -> np.ndarray:
        """sin((M + 1)φ) = sin ψ, by the smaller of the two."""
        return np.where(self.psi < 1, np.sin(self.psi), np.sin((factors + 1) * self.phi))

    def log_value(self, factors: int) -> np.ndarray:
        """ln x, x = sin^{M+1}((M+1)φ)/(sin φ sin^M(Mφ))."""
        last = (factors + 1) * np.log(self.last_sine(factors))
        return last - np.log(np.sin(self.phi)) - factors * np.log(np.sin(factors * self.phi))


def _angles(x: np.ndarray, factors: int) -> _Angles:
    """The angles of values inside the support, by bisection: x falls as φ grows."""
    wanted = np.log(x)
    low, high = np.full(x.shape, -_FURTHEST), np.full(x.shape, _FURTHEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = _Angles.at(middle, factors).log_value(factors) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return _Angles.at((low + high) / 2, factors)


@dataclass(frozen=True)
class FussCatalan:
    """The law of squared singular values x of a product of M independent n × n Gaussian matrices, n → ∞.

    With entries of variance 1/n, and by an angle 0 < φ < π/(M + 1) [Bjorck]:

        x = sin^{M+1}((M+1)φ)/(sin φ sin^M(Mφ)),   ρ(x) = sin²φ sin^{M−1}(Mφ)/(π sin^M((M+1)φ)).

    Its mean is 1; M = 1 is the Marchenko–Pastur law.

    Attributes
    ----------
    factors : int
        M, how many matrices are multiplied.
    """

    factors: int

    @property
    def upper_edge(self) -> float:
        """(M + 1)^{M+1}/M^M, the largest squared singular value; it grows like e·M."""
        return (self.factors + 1) * (1 + 1 / self.factors) ** self.factors

    def moment(self, order: int) -> float:
        """E x^k = C((M + 1)k, k)/(Mk + 1), the Fuss–Catalan number, for k = 0, 1, …; infinite above float64's range.

        Raises
        ------
        InvalidInput
            An order that is no whole number of at least 0.
        """
        if isinstance(order, bool) or not isinstance(order, int) or order < 0:
            raise InvalidInput(expected="order as a whole number of at least 0", got=repr(order))
        top = (self.factors + 1) * order
        try:
            return float(math.comb(top, order) // (self.factors * order + 1))
        except OverflowError:
            return math.inf

    @property
    def moments(self) -> tuple[float, ...]:
        """E x, …, E x⁴."""
        return tuple(self.moment(order) for order in range(1, 5))

    def density(self, x: Any) -> np.ndarray:
        """ρ(x) in the shape of x; 0 outside the support, infinite at 0, where it grows like x^{−M/(M+1)}."""
        x = _numbers(x)
        found = np.zeros(x.shape)
        inside = (x > 0) & (x < self.upper_edge)
        found[inside] = self._inner_density(_angles(x[inside], self.factors))
        found[x == 0] = np.inf
        return found

    def _inner_density(self, at: _Angles) -> np.ndarray:
        factors = self.factors
        powers = (factors - 1) * np.log(np.sin(factors * at.phi)) - factors * np.log(at.last_sine(factors))
        return np.sin(at.phi) ** 2 * np.exp(powers) / math.pi

    def cdf(self, x: Any) -> np.ndarray:
        """P(X ≤ x) = 1 − (M+1)φ/π + M sin φ sin((M+1)φ)/(π sin(Mφ)) in the shape of x.

        The integral of the density: with B = sin((M+1)φ)/sin(Mφ)·e^{iφ}, πρ = Im(B)/x is the derivative of
        Im(MB − ln(B − 1)), and B − 1 has the argument (M+1)φ.
        """
        x = _numbers(x)
        found = np.where(x >= self.upper_edge, 1.0, 0.0)
        inside = (x > 0) & (x < self.upper_edge)
        at = _angles(x[inside], self.factors)
        swing = self.factors * np.sin(at.phi) * at.last_sine(self.factors) / np.sin(self.factors * at.phi)
        found[inside] = (at.psi + swing) / math.pi
        return found

    def to_frame(self) -> pd.DataFrame:
        """Density and distribution function on a logarithmic grid up to the edge."""
        import pandas as pd

        x = self._grid()
        return pd.DataFrame({"x": x, "density": self.density(x), "cdf": self.cdf(x)})

    def to_json(self) -> str:
        """JSON object: factors, upper edge, the first moments."""
        found = {"factors": self.factors, "upper_edge": self.upper_edge, "moments": self.moments}
        return json.dumps(finite(found), allow_nan=False)

    def figure(self) -> Figure:
        """The density on logarithmic axes, with its edge marked."""
        x = self._grid()
        return lines(
            [Series("density", x, self.density(x))],
            "squared singular value",
            "density",
            log_x=True,
            log_y=True,
            marks=[Mark(self.upper_edge, f"upper edge, {self.upper_edge:.4g}")],
            title=f"Squared singular values of a product of {self.factors} random matrices",
        )

    def plot(self) -> PlotlyFigure:
        """The figure, for plotly to show or to change."""
        return self.figure().to_plotly()

    def _grid(self) -> np.ndarray:
        return self.upper_edge * np.geomspace(1e-8, 1 - 1e-6, _DRAWN)

    def __str__(self) -> str:
        return (
            f"squared singular values of a product of {self.factors} Gaussian matrices: from 0 to "
            f"{self.upper_edge:.4g}, mean 1, mean square {self.moment(2):.4g}"
        )


def fuss_catalan(factors: int) -> FussCatalan:
    """The law of the squared singular values of a product of Gaussian matrices.

    Parameters
    ----------
    factors : int
        M, how many n × n matrices with independent N(0, 1/n) entries are multiplied, n → ∞.

    Returns
    -------
    FussCatalan

    Raises
    ------
    InvalidInput
        Factors that are no whole number of at least 1.

    Examples
    --------
    >>> law = fuss_catalan(1)
    >>> law.upper_edge, law.moments
    (4.0, (1.0, 2.0, 5.0, 14.0))
    """
    if isinstance(factors, bool) or not isinstance(factors, int) or factors < 1:
        raise InvalidInput(
            expected="factors as a whole number of at least 1",
            got=repr(factors),
            instead="fuss_catalan(1) is the law of a single matrix",
        )
    return FussCatalan(factors)


def _numbers(x: Any) -> np.ndarray:
    try:
        found = np.asarray(x, dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidInput(expected="x as a number or an array of numbers", got=repr(x)) from error
    if np.isnan(found).any():
        raise InvalidInput(expected="x without missing values", got="NaN", instead="leave them out")
    return found
