"""Moments of an activation at the normalised pre-activations of one batch: all that depth asks of φ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.network import ActivationFunction
from normfield.theory import ops
from normfield.theory.depth.closed_forms import homogeneous_values
from normfield.theory.depth.sphere import ORDERS, SpherePairs
from normfield.theory.gaussian import derivative


@dataclass(frozen=True)
class SphereMoments:
    """Expectations over z = √B v, v uniform on the unit sphere of im G; φ at γz + β and f = φ − Eφ.

    Attributes
    ----------
    mean, first
        Eφ and E[z₁φ(z₁)].
    variance, variance_by_norm
        E f² and E[f²(z₁² − 1)].
    covariance, covariance_by_norm, covariance_by_product
        E[f(z₁)f(z₂)], E[f(z₁)f(z₂)z₁²], E[f(z₁)f(z₂)z₁z₂].
    slope_second, slope_second_by_norm
        E φ′² and E[φ′²z₁²].
    slope_product, slope_product_by_product
        E[φ′(z₁)φ′(z₂)] and E[φ′(z₁)φ′(z₂)z₁z₂].
    """

    mean: float
    first: float
    variance: float
    variance_by_norm: float
    covariance: float
    covariance_by_norm: float
    covariance_by_product: float
    slope_second: float
    slope_second_by_norm: float
    slope_product: float
    slope_product_by_product: float

    @property
    def spread(self) -> float:
        """μ* = q*(1 − c*) = E f² − E f(z₁)f(z₂)."""
        return self.variance - self.covariance


def sphere_moments(
    phi: ActivationFunction, batch_size: float, gamma: float, beta: float, order: int = ORDERS[0]
) -> SphereMoments:
    """The moments of φ(γz + β), in closed form where φ(x) = c₁x + c₂|x| and β = 0."""
    if phi.homogeneous is not None and beta == 0:
        return SphereMoments(*homogeneous_values(*phi.homogeneous, batch_size, gamma))
    return _by_quadrature(phi, batch_size, gamma, beta, order)


def _by_quadrature(
    phi: ActivationFunction, batch_size: float, gamma: float, beta: float, order: int
) -> SphereMoments:
    kink = -float(beta) / float(gamma) if gamma else np.inf
    pairs = SpherePairs(batch_size, kink, abs(gamma), order)
    slope = derivative(phi)
    z = pairs.z
    values, slopes = np.broadcast_to(phi.function(ops, gamma * z + beta), z.shape), slope(gamma * z + beta)
    mean = pairs.single(values)
    f = values - mean

    def second(z2: np.ndarray) -> tuple[np.ndarray, ...]:
        f2, slope2 = phi.function(ops, gamma * z2 + beta) - mean, slope(gamma * z2 + beta)
        return f2, z2 * f2, slope2, z2 * slope2

    means = pairs.conditional_means(second)
    return SphereMoments(
        mean=mean,
        first=pairs.single(z * f),
        variance=pairs.single(f * f),
        variance_by_norm=pairs.single(f * f * (z * z - 1)),
        covariance=pairs.single(f * means[0]),
        covariance_by_norm=pairs.single(z * z * f * means[0]),
        covariance_by_product=pairs.single(z * f * means[1]),
        slope_second=pairs.single(slopes**2),
        slope_second_by_norm=pairs.single(slopes**2 * z * z),
        slope_product=pairs.single(slopes * means[2]),
        slope_product_by_product=pairs.single(z * slopes * means[3]),
    )
