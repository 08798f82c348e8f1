"""What one layer does to a batch whose normalised pre-activations are s·z, z on the sphere: the integrands of depth.

s = r/√(r² + Bε) is 1 at ε = 0 and below 1 else, the shorter the further the batch's variance falls towards ε.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from normfield.network import ActivationFunction
from normfield.theory.depth.sphere import ORDERS
from normfield.theory.depth.sphere_moments import SphereMoments, sphere_moments

#: Values of s at which a response is computed and between which it is interpolated, for each of ``ORDERS``.
_SCALES = {ORDERS[0]: 28, ORDERS[1]: 20}


class Response(NamedTuple):
    """Numbers at s = 1, or arrays over s; with b = 1/B and everything at φ(γ·sz + β).

    spread is (E φ² − E φφ)/s²; second E φ²; mean E φ; first E zφ/s; slopes (1−b)E φ′² + b E φ′φ′; slopes_along
    b(E z²φ′² − E z₁z₂φ′φ′); by_norm and by_correlation the integrands of λ_L and λ_M, over s².
    """

    spread: Any
    second: Any
    mean: Any
    first: Any
    slopes: Any
    slopes_along: Any
    by_norm: Any
    by_correlation: Any


# Powers of s that are taken out, so that what is left is finite at s → 0.
_POWERS = np.array([2, 0, 0, 1, 0, 0, 2, 2])


def response(m: SphereMoments, batch_size: float) -> Response:
    """The integrands from the moments of one scale.

    by_norm is E f²(z₁²−1) − 2(B−1)/(B−2)·E f₁f₂(z₁²−1), NaN at B = 2, where batches differ by one number only;
    by_correlation is E f₁f₂[z₁z₂ + S²/(B−2) + (S² + z₁² + z₂² − B)/((B−2)(B−3))], S = z₁ + z₂, NaN at B ≤ 3.
    """
    b = 1 / batch_size
    return Response(
        spread=m.spread,
        second=m.variance + m.mean**2,
        mean=m.mean,
        first=m.first,
        slopes=(1 - b) * m.slope_second + b * m.slope_product,
        slopes_along=b * (m.slope_second_by_norm - m.slope_product_by_product),
        by_norm=_by_norm(m, b) if batch_size > 2 else math.nan,
        by_correlation=_by_correlation(m, b) if batch_size > 3 else math.nan,
    )


def _by_norm(m: SphereMoments, b: float) -> float:
    return m.variance_by_norm - 2 * (1 - b) / (1 - 2 * b) * (m.covariance_by_norm - m.covariance)


def _by_correlation(m: SphereMoments, b: float) -> float:
    squared_sum = 2 * (m.covariance_by_norm + m.covariance_by_product)  # E f₁f₂(z₁ + z₂)²
    far = b * (squared_sum + 2 * m.covariance_by_norm) - m.covariance
    return m.covariance_by_product + b * (squared_sum + far / (1 - 3 * b)) / (1 - 2 * b)


class ScaledResponse:
    """The response at every s of (0, 1], interpolated between Chebyshev points."""

    def __init__(
        self, phi: ActivationFunction, batch_size: float, gamma: float, beta: float, order: int
    ) -> None:
        count = _SCALES[order]
        points = np.cos(np.pi * (np.arange(count) + 0.5) / count)
        scales = (points + 1) / 2
        values = [
            np.array(response(sphere_moments(phi, batch_size, gamma * s, beta, order), batch_size))
            / s**_POWERS
            for s in scales
        ]
        basis = np.polynomial.chebyshev.chebvander(points, count - 1)
        self._coefficients = 2 / count * basis.T @ np.array(values)
        self._coefficients[0] /= 2

    def __call__(self, s: np.ndarray) -> Response:
        """The integrands at an array of scales."""
        return Response(*np.polynomial.chebyshev.chebval(2 * np.asarray(s) - 1, self._coefficients))


class UnscaledResponse:
    """The response at ε = 0, where s is 1 whatever the radius."""

    def __init__(
        self, phi: ActivationFunction, batch_size: float, gamma: float, beta: float, order: int
    ) -> None:
        self._only = response(sphere_moments(phi, batch_size, gamma, beta, order), batch_size)

    def __call__(self, s: np.ndarray) -> Response:
        """The same integrands at each of an array of scales."""
        return Response(*(np.full(np.shape(s), value) for value in self._only))
