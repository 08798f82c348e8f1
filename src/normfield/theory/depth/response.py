"""What one layer does to a batch whose normalised pre-activations are s·z, z on the sphere: the integrands of depth.

s = r/√(r² + Bε) is 1 at ε = 0 and below 1 else, the shorter the further the batch's variance falls towards ε.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from normfield.network import ActivationFunction
from normfield.theory import ops
from normfield.theory.depth.closed_forms import homogeneous_values
from normfield.theory.depth.sphere import FEW, ORDERS
from normfield.theory.depth.sphere_moments import SphereMoments, sphere_moments
from normfield.theory.gaussian import derivative

# Values of s between which a response is interpolated, over a wide range and over a narrow one.
_POINTS, _NARROW = (20, 10), 0.3
# How far beside β its one-sided slopes are taken, the second beyond the step of a numerical derivative; a kink is told
# from curvature by the relative jump of φ′ across it.
_BESIDE, _FURTHER, _JUMP = 1e-9, 2e-5, 1e-3


@dataclass(frozen=True)
class Unit:
    """One normalised unit: φ(γu + β) over a batch of B samples."""

    phi: ActivationFunction
    batch_size: float
    gamma: float
    beta: float

    @property
    def is_homogeneous(self) -> bool:
        """Whether φ(sx) = sφ(x) for s > 0, shift included."""
        return self.phi.homogeneous is not None and self.beta == 0

    def moments(self, scale: float, order: int) -> SphereMoments:
        """Where u = scale·z."""
        return sphere_moments(self.phi, self.batch_size, self.gamma * scale, self.beta, order)


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


class UnscaledResponse:
    """The response at ε = 0, where s is 1 whatever the radius."""

    def __init__(self, unit: Unit, order: int) -> None:
        self._only = response(unit.moments(1.0, order), unit.batch_size)

    def __call__(self, s: np.ndarray) -> Response:
        """The same integrands at each of an array of scales."""
        return Response(*(np.full(np.shape(s), value) for value in self._only))


class HomogeneousResponse:
    """The response of φ(x) = c₁x + c₂|x| at β = 0, whose moments are powers of s."""

    def __init__(self, unit: Unit) -> None:
        self._only = response(unit.moments(1.0, ORDERS[0]), unit.batch_size)

    def __call__(self, s: np.ndarray) -> Response:
        """The integrands at an array of scales, 0 included."""
        even = Response(*(np.full(np.shape(s), value) for value in self._only))
        return even._replace(mean=even.mean * s, second=even.second * s * s)


class ScaledResponse:
    """The response between two scales, interpolated between Chebyshev points."""

    def __init__(self, unit: Unit, order: int, low: float = 0.0, high: float = 1.0) -> None:
        count = _POINTS[high - low < _NARROW] - (0 if order == ORDERS[0] else 3)
        points = np.cos(np.pi * (np.arange(count) + 0.5) / count)
        self._centre, self._half = (low + high) / 2, (high - low) / 2
        scales = self._centre + self._half * points
        values = [np.array(response(unit.moments(s, order), unit.batch_size)) / s**_POWERS for s in scales]
        basis = np.polynomial.chebyshev.chebvander(points, count - 1)
        self._coefficients = 2 / count * basis.T @ np.array(values)
        self._coefficients[0] /= 2

    def __call__(self, s: np.ndarray) -> Response:
        """The integrands at an array of scales."""
        points = (np.asarray(s) - self._centre) / self._half
        return Response(*np.polynomial.chebyshev.chebval(points, self._coefficients))


class PiecewiseResponse:
    """The same in pieces that end where, in a small batch, a kink of φ leaves the support of z.

    That is at s√n = |β/γ|, n = B − 1, for one sample, and at s√((n−1)/2) = |β/γ| for two samples at once.
    """

    def __init__(self, unit: Unit, order: int, low: float, high: float) -> None:
        kink, n = abs(unit.beta / unit.gamma) if unit.gamma else 0.0, unit.batch_size - 1
        ends = (kink / math.sqrt(n), kink / math.sqrt(max(n - 1, 1) / 2)) if n < FEW else ()
        self._edges = [low, *(end for end in ends if low < end < high), high]
        self._pieces = [ScaledResponse(unit, order, a, b) for a, b in pairwise(self._edges)]

    def __call__(self, s: np.ndarray) -> Response:
        """The integrands at an array of scales."""
        piece = np.searchsorted(self._edges[1:-1], s)
        values = np.array([respond(s) for respond in self._pieces])
        return Response(*np.take_along_axis(values, piece[None, None], axis=0)[0])


class CollapsedResponse:
    """The response in the limit s → 0, where φ is its tangent at β, or its two tangents at a kink."""

    def __init__(self, unit: Unit) -> None:
        right, left = slopes_at(unit.phi, unit.beta)
        values = homogeneous_values((right + left) / 2, (right - left) / 2, unit.batch_size, unit.gamma)
        level = float(unit.phi.function(ops, np.array(unit.beta)))
        bent = response(SphereMoments(*values), unit.batch_size)
        self._only = bent._replace(mean=level, second=level**2)

    def __call__(self, s: np.ndarray) -> Response:
        """The limit at each of an array of scales, which are 0."""
        return Response(*(np.full(np.shape(s), value) for value in self._only))


def slopes_at(phi: ActivationFunction, beta: float) -> tuple[float, float]:
    """φ′ to the right and to the left of β, equal where φ has no kink there."""
    slope = derivative(phi)
    step = (_FURTHER if phi.derivative is None else _BESIDE) * max(1.0, abs(beta))
    right, left = (float(slope(np.array(beta + side))) for side in (step, -step))
    if abs(right - left) > _JUMP * max(abs(right), abs(left)):
        return right, left
    here = float(slope(np.array(beta)))
    return here, here
