"""Moments on the sphere in closed form, for φ(x) = c₁x + c₂|x| (ReLU, leaky ReLU, |x|, linear) without shift."""

from __future__ import annotations

import math

_SERIES_FROM = 40.0


def gamma_ratio(x: float) -> float:
    """Γ(x + ½)/Γ(x), by its series in 1/x where the logarithms of the two would cancel."""
    if x < _SERIES_FROM:
        return math.exp(math.lgamma(x + 0.5) - math.lgamma(x))
    y = 1 / x
    series = 1 + y * (
        -1 / 8 + y * (1 / 128 + y * (5 / 1024 + y * (-21 / 32768 + y * (-399 / 262144 + y * 869 / 4194304))))
    )
    return math.sqrt(x) * series


def mean_radius(n: float) -> float:
    """E‖g‖/√n of a standard normal vector in n dimensions, √(2/n)·Γ((n+1)/2)/Γ(n/2); 1 for n → ∞."""
    return 1.0 if math.isinf(n) else math.sqrt(2 / n) * gamma_ratio(n / 2)


def homogeneous_values(c1: float, c2: float, batch_size: float, gamma: float) -> tuple[float, ...]:
    """The fields of `SphereMoments`, in their order, for φ(x) = c₁x + c₂|x|.

    Two coordinates of the sphere have the correlation c = −1/n, n = B − 1; moments of degree 2 are the Gaussian ones,
    those of degree 4 carry n/(n+2).
    """
    n, size = batch_size - 1, gamma * gamma
    c = -1 / n
    A, S, cubed, signed = _absolute_pair(c)
    fourth = 1 / (1 + 2 / n)
    absolute = math.sqrt(2 / math.pi) / mean_radius(n)  # E|z|
    third = 2 * absolute / (1 + 1 / n)  # E|z|³
    others = (1 + 1 / n) * absolute - third / n  # E|z₂|z₁²
    m, squares = c2 * absolute, c1 * c1 + c2 * c2
    return (
        abs(gamma) * m,
        gamma * c1,
        size * (squares - m * m),
        size * (squares * (3 * fourth - 1) - 2 * m * c2 * (third - absolute)),
        size * (c1 * c1 * c + c2 * c2 * A - m * m),
        size * (fourth * (3 * c1 * c1 * c + c2 * c2 * cubed) - m * c2 * (third + others) + m * m),
        size * (fourth * (c1 * c1 * (1 + 2 * c * c) + c2 * c2 * signed) - 2 * m * c2 * c * third + m * m * c),
        squares,
        squares,
        c1 * c1 + c2 * c2 * S,
        c1 * c1 * c + c2 * c2 * A,
    )


def _absolute_pair(c: float) -> tuple[float, float, float, float]:
    """E|xy|, E sign(xy), E|x³y| and E[x|x|y|y|] of two standard normals of correlation c."""
    root, angle = math.sqrt(max(1 - c * c, 0.0)), math.asin(c)
    A = 2 / math.pi * (root + c * angle)
    return (
        A,
        2 / math.pi * angle,
        2 * A + c * 2 / math.pi * (c * root + angle),
        2 / math.pi * (3 * c * root + (1 + 2 * c * c) * angle),
    )
