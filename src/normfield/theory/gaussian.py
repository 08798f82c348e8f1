r"""Gaussian expectations of an activation: all that the mean-field recursions ask of φ.

Closed forms for φ(x) = c₁x + c₂|x| (ReLU, leaky ReLU, linear, |x|) and for erf; quadrature with an error estimate for
every other activation. Everything broadcasts over its numeric arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from normfield.network import ActivationFunction
from normfield.theory import ops
from normfield.theory.quadrature import ORDERS, expectations, rule

_DIFFERENCE = 6e-6
_CHUNK = 100_000  # nodes at once: what fits a processor's cache is fastest
_COMPARED = 64


@dataclass(frozen=True)
class Moments:
    """Moments of φ(γz + β), z ~ N(0, 1); each an array of the broadcast shape of γ and β.

    Attributes
    ----------
    mean, second
        E φ and E φ².
    slope, slope_second
        E φ′ and E φ′².
    slope_z
        E φ′(γz + β) z.
    error
        Largest error estimate of the quadrature; 0 for a closed form.
    """

    mean: np.ndarray
    second: np.ndarray
    slope: np.ndarray
    slope_second: np.ndarray
    slope_z: np.ndarray
    error: float = 0.0


@dataclass(frozen=True)
class PairMoments:
    """Moments of φ at a, b ~ N(β, q), jointly normal with covariance q_xy.

    Attributes
    ----------
    second, product
        E φ(a)² and E φ(a)φ(b).
    slope_second, slope_product
        E φ′(a)² and E φ′(a)φ′(b).
    mean
        E φ(a).
    error
        Largest error estimate of the quadrature; 0 for a closed form.
    """

    second: np.ndarray
    product: np.ndarray
    slope_second: np.ndarray
    slope_product: np.ndarray
    mean: np.ndarray
    error: float = 0.0


def derivative(phi: ActivationFunction) -> Callable[[np.ndarray], np.ndarray]:
    """φ′ as a function of x; a central difference (error about 1e-10) where the row gives none."""
    known = phi.derivative
    if known is not None:
        return lambda x: known(ops, x)
    h = _DIFFERENCE
    return lambda x: (phi.function(ops, x + h) - phi.function(ops, x - h)) / (2 * h)


def moments(phi: ActivationFunction, scale: object, shift: object = 0.0) -> Moments:
    r"""Moments of :math:`\varphi(\gamma z + \beta)` for one standard normal z.

    Parameters
    ----------
    phi
        The activation's row.
    scale, shift
        γ and β, scalars or arrays.

    Returns
    -------
    Moments
        Five arrays of the broadcast shape, and the error estimate.

    Examples
    --------
    >>> from normfield.network import ACTIVATIONS
    >>> float(moments(ACTIVATIONS["relu"], 1.0).second)
    0.5
    """
    gamma, beta = np.broadcast_arrays(np.asarray(scale, dtype=float), np.asarray(shift, dtype=float))
    if phi.homogeneous is not None:
        return _homogeneous_moments(*phi.homogeneous, gamma, beta)
    if phi.name == "erf" and not np.any(beta):
        return _erf_moments(gamma)
    return _quadrature_moments(phi, gamma, beta)


def pair_moments(
    phi: ActivationFunction, variance: object, covariance: object, shift: object = 0.0
) -> PairMoments:
    r"""Moments of φ at two jointly normal arguments of mean β, variance q and covariance :math:`q_{xy}`.

    Parameters
    ----------
    phi
        The activation's row.
    variance, covariance, shift
        q, q_xy and β, scalars or arrays.

    Returns
    -------
    PairMoments
        Five arrays of the broadcast shape, and the error estimate.
    """
    q, qxy, beta = np.broadcast_arrays(
        *(np.asarray(value, dtype=float) for value in (variance, covariance, shift))
    )
    if not np.any(beta):
        if phi.homogeneous is not None:
            return _homogeneous_pair(*phi.homogeneous, q, qxy)
        if phi.name == "erf":
            return _erf_pair(q, qxy)
    return _quadrature_pair(phi, q, qxy, beta)


def slope_argument_product(
    phi: ActivationFunction, variance: np.ndarray, covariance: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    r"""E φ′(a)φ′(b)·(a − β)(b − β) for a, b as in `pair_moments` (the γ-term of a per-sample norm)."""
    if phi.homogeneous is not None and not np.any(shift):
        return _homogeneous_pair(*phi.homogeneous, variance, covariance).product
    slope = derivative(phi)
    return _pair_expectations(lambda x, beta: (slope(x) * (x - beta),), variance, covariance, shift)[0][0]


def _homogeneous_moments(c1: float, c2: float, gamma: np.ndarray, beta: np.ndarray) -> Moments:
    """φ(x) = c₁x + c₂|x| at a = γz + β; with t = β/γ: E sign a = P, E|a| = βP + 2γn, n the density at t."""
    size = np.abs(gamma)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(beta == 0, 0.0, beta / size)
    n = np.exp(-t * t / 2) / np.sqrt(2 * np.pi)
    P = erf(t / np.sqrt(2))
    signed = (gamma**2 + beta**2) * P + 2 * beta * size * n
    return Moments(
        mean=c1 * beta + c2 * (beta * P + 2 * size * n),
        second=(c1**2 + c2**2) * (gamma**2 + beta**2) + 2 * c1 * c2 * signed,
        slope=c1 + c2 * P,
        slope_second=c1**2 + c2**2 + 2 * c1 * c2 * P,
        slope_z=2 * c2 * n * np.sign(gamma),
    )


def _erf_moments(gamma: np.ndarray) -> Moments:
    v = gamma**2
    zero = np.zeros_like(v)
    return Moments(
        mean=zero,
        second=2 / np.pi * np.arcsin(2 * v / (1 + 2 * v)),
        slope=2 / np.sqrt(np.pi * (1 + 2 * v)),
        slope_second=4 / np.pi / np.sqrt(1 + 4 * v),
        slope_z=zero,
    )


def _quadrature_moments(phi: ActivationFunction, gamma: np.ndarray, beta: np.ndarray) -> Moments:
    g, b = gamma.reshape(-1), beta.reshape(-1)
    parts = np.array_split(np.arange(g.size), max(1, g.size * 300 // _CHUNK))
    stacked = np.concatenate([_five(phi, g[part], b[part], ORDERS[0]) for part in parts], axis=1)
    # The error is smooth over a grid: a coarser rule on some of its points tells its size.
    some = np.unique(np.linspace(0, g.size - 1, _COMPARED).astype(int)) if g.size else np.arange(0)
    error = np.abs(stacked[:, some] - _five(phi, g[some], b[some], ORDERS[1])).max(initial=0.0)
    stacked = stacked.reshape(5, *gamma.shape)
    if phi.parity == "odd":
        stacked[[0, 4]] *= beta != 0  # E φ and E φ′z vanish by symmetry, not only to round-off
    return Moments(*stacked, error=float(error))


def _five(phi: ActivationFunction, gamma: np.ndarray, beta: np.ndarray, order: int) -> np.ndarray:
    """E of φ, φ², φ′, φ′², φ′z at each (γ, β), shape (5, points)."""
    slope = derivative(phi)

    def integrand(z: np.ndarray) -> tuple[np.ndarray, ...]:
        a = gamma[:, None] * z + beta[:, None]
        f, df = phi.function(ops, a), slope(a)
        return f, f * f, df, df * df, df * z

    return expectations(integrand, _centre(gamma, beta), order)


def _centre(scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The z at which scale·z + shift = 0, where every named activation bends."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(-shift / scale, nan=0.0, posinf=1e3, neginf=-1e3)


def _homogeneous_pair(c1: float, c2: float, q: np.ndarray, qxy: np.ndarray) -> PairMoments:
    with np.errstate(divide="ignore", invalid="ignore"):
        c = np.clip(np.where(q > 0, qxy / q, 0.0), -1.0, 1.0)
    arc = np.arcsin(c)
    second = (c1**2 + c2**2) * q
    return PairMoments(
        second=second,
        product=c1**2 * qxy + c2**2 * q * (2 / np.pi) * (np.sqrt(1 - c * c) + c * arc),
        slope_second=np.broadcast_to(c1**2 + c2**2, q.shape),
        slope_product=c1**2 + c2**2 * (2 / np.pi) * arc,
        mean=c2 * np.sqrt(2 * q / np.pi),
    )


def _erf_pair(q: np.ndarray, qxy: np.ndarray) -> PairMoments:
    return PairMoments(
        second=2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)),
        product=2 / np.pi * np.arcsin(2 * qxy / (1 + 2 * q)),
        slope_second=4 / np.pi / np.sqrt(1 + 4 * q),
        slope_product=4 / np.pi / np.sqrt((1 + 2 * q) ** 2 - 4 * qxy**2),
        mean=np.zeros_like(q),
    )


def _quadrature_pair(
    phi: ActivationFunction, q: np.ndarray, qxy: np.ndarray, beta: np.ndarray
) -> PairMoments:
    slope = derivative(phi)
    single = _quadrature_moments(phi, np.sqrt(q), beta)
    (product, slopes), error = _pair_expectations(lambda x, _: (phi.function(ops, x), slope(x)), q, qxy, beta)
    if phi.parity == "odd":
        product = product * ((qxy != 0) | (beta != 0))
    return PairMoments(
        single.second, product, single.slope_second, slopes, single.mean, max(single.error, error)
    )


def _pair_expectations(
    functions: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]],
    q: np.ndarray,
    qxy: np.ndarray,
    beta: np.ndarray,
) -> tuple[np.ndarray, float]:
    r"""E f(a)f(b) for each f, through the part w that a and b share: E_w [E_z f]²(±).

    With c = q_xy/q: a = β + √q(√|c| w + √(1−|c|) z₁) and b the same with sign(c) w and z₂.
    """
    flat = [np.ravel(value) for value in np.broadcast_arrays(q, qxy, beta)]
    points = [_one_pair(functions, *point) for point in zip(*flat, strict=True)]
    values = np.array([value for value, _ in points])
    return values.T.reshape(-1, *np.shape(q)), max((error for _, error in points), default=0.0)


def _one_pair(
    functions: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]], q: float, qxy: float, beta: float
) -> tuple[np.ndarray, float]:
    c = np.clip(qxy / q, -1.0, 1.0) if q > 0 else 0.0
    shared, private = np.sqrt(q * abs(c)), np.sqrt(q * (1 - abs(c)))
    b = np.array(beta)

    def conditional(w: np.ndarray) -> np.ndarray:
        level = shared * w + beta
        return expectations(
            lambda z: functions(private * z + level[..., None], b),
            _centre(np.full_like(level, private), level),
        )

    def outer(order: int) -> np.ndarray:
        w, weight = rule(_centre(np.array(shared), b), order)
        here = conditional(w)
        there = here if c >= 0 else conditional(-w)
        return np.einsum("kn,kn,n->k", here, there, weight)

    fine, coarse = (outer(order) for order in ORDERS)
    return fine, float(np.abs(fine - coarse).max())
