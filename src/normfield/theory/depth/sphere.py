r"""Expectations over normalised pre-activations z = √B v, v uniform on the unit sphere of im G, by panels.

im G has n = B − 1 dimensions, z₁ = √n x with x a coordinate of a uniform unit vector of Rⁿ, of density
∝ (1 − x²)^{(n−3)/2} [Yang]. With x = sin(t/√n) the density is cos^{n−2}(t/√n), smooth for every n and Gaussian for
large ones: Gauss–Legendre on panels of t serves them all. Panels end where φ may have a kink, at z = −β/γ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

#: Nodes per panel of the rule, and of the coarser one that it is compared with.
ORDERS = (16, 12)
_REACH = 9.0
_PANEL = 2.25
#: Dimensions below which the support's edge is near, and a kink leaves it inside the reach.
FEW = 12
_INTERPOLATED = 40

Functions = Callable[[np.ndarray], Sequence[np.ndarray]]


@cache
def _legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return (nodes + 1) / 2, weights / 2


@cache
def _stepped(order: int) -> tuple[np.ndarray, np.ndarray]:
    """The same after y ↦ 3y² − 2y³, under which (t − edge)^{k/2} becomes analytic in y."""
    y, w = _legendre(2 * order)
    return y * y * (3 - 2 * y), w * 6 * y * (1 - y)


def _gradings(steepness: float) -> np.ndarray:
    """Distances from a steep flank at which panels end: 1, 1/4, … down to the flank's width 1/γ."""
    if steepness <= 1:
        return np.zeros(0)
    levels = min(1 + math.ceil(math.log(steepness, 4)), 12)
    return 4.0 ** -np.arange(levels)


def _angle(z: np.ndarray, n: float) -> np.ndarray:
    """t of z = √n sin(t/√n); beyond the support, its end."""
    if math.isinf(n):
        return z
    return math.sqrt(n) * np.arcsin(np.clip(z / math.sqrt(n), -1, 1))


def _coordinate(t: np.ndarray, n: float) -> np.ndarray:
    return t if math.isinf(n) else math.sqrt(n) * np.sin(t / math.sqrt(n))


def _density(z: np.ndarray, n: float) -> np.ndarray:
    """cos^{n−2}(t/√n), through log1p so that large n lose no digit."""
    if math.isinf(n):
        return np.exp(-z * z / 2)
    if n == 2:
        return np.ones_like(z)
    with np.errstate(divide="ignore"):
        return np.exp((n - 2) / 2 * np.log1p(-np.minimum(z * z / n, 1)))


def coordinate_rule(
    n: float,
    flank: np.ndarray,
    steepness: float = 1.0,
    order: int = ORDERS[0],
    *,
    bends: Sequence[float] = (),
    stepped: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z and weights w, E f(z₁) ≈ Σ w f(z), shapes ``flank.shape`` + (nodes,); weights sum to 1.

    Parameters
    ----------
    n
        Dimensions of the sphere's space, B − 1; may be infinite.
    flank
        The z at which f may have a kink or be steep: panels end there and are finer around it.
    steepness
        |γ|, the inverse width of the flank.
    order
        Nodes per panel.
    bends
        Further points z at which panels end, the same everywhere.
    stepped
        Whether half-integer powers of the distance to such a point are to be expected.
    """
    if n == 1:
        ends = np.broadcast_to([-1.0, 1.0], (*flank.shape, 2))
        return ends, np.full(ends.shape, 0.5)
    edges = _edges(n, flank, steepness, bends)
    nodes, weights = (_stepped if stepped else _legendre)(order)
    width = np.diff(edges, axis=-1)[..., None]
    flat = (*flank.shape, -1)
    z = _coordinate((edges[..., :-1, None] + width * nodes).reshape(flat), n)
    w = (width * weights).reshape(flat) * _density(z, n)
    return z, w / w.sum(axis=-1, keepdims=True)


def _edges(n: float, flank: np.ndarray, steepness: float, bends: Sequence[float]) -> np.ndarray:
    reach = min(_REACH, math.pi / 2 * math.sqrt(n))
    grading = _gradings(steepness)
    around = _angle(flank, n)[..., None] + np.concatenate([-grading, [0.0], grading[::-1]])
    even = np.linspace(-reach, reach, math.ceil(2 * reach / _PANEL) + 1)
    fixed = np.concatenate([even, _angle(np.array(bends, dtype=float), n)])
    fixed = np.broadcast_to(fixed, (*flank.shape, fixed.size))
    return np.sort(np.clip(np.concatenate([fixed, around], axis=-1), -reach, reach), axis=-1)


class SpherePairs:
    """E f(z₁), and E f(z₁)g(z₂) through the conditional mean of g given z₁, at one batch size and kink.

    Given z₁ = √n x, z₂ = ρz₁ + √(1−ρ²)√(1−x²)·√n w, ρ = −1/n, with w a coordinate of a uniform unit vector in n − 1
    dimensions.
    """

    def __init__(self, batch_size: float, kink: float, steepness: float, order: int) -> None:
        self.n = batch_size - 1
        self.correlation = -1 / self.n
        self.kink, self.steepness, self.order = kink, steepness, order
        few = self.n < FEW
        self.z, self.weights = coordinate_rule(
            self.n, np.array(kink), steepness, order, bends=self._bends(), stepped=few and self.n > 2
        )

    def single(self, values: np.ndarray) -> float:
        """E f(z₁) from f at the nodes ``z``."""
        return float(self.weights @ values)

    def conditional_means(self, functions: Functions) -> np.ndarray:
        """E[g(z₂) | z₁] of several g at the nodes ``z``, shape (functions, nodes)."""
        if math.isinf(self.n):
            means = np.array([self.weights @ values for values in functions(self.z)])
            return np.broadcast_to(means[:, None], (len(means), self.z.size))
        interpolated = None if self.n < FEW else self._interpolated_means(functions)
        return self._means_at(self.z, functions) if interpolated is None else interpolated

    def _bends(self) -> tuple[float, ...]:
        """The z₁ at which the kink of g(z₂) enters the support that z₁ leaves to z₂."""
        if self.n >= FEW or abs(self.kink) >= math.sqrt(self.n):
            return ()
        tau, rho = self.kink / math.sqrt(self.n), self.correlation
        half = math.sqrt((1 - rho**2) * (1 - tau**2))
        return tuple(math.sqrt(self.n) * (rho * tau + sign * half) for sign in (-1, 1))

    def _means_at(self, z1: np.ndarray, functions: Functions) -> np.ndarray:
        n, rho = self.n, self.correlation
        if n == 1:
            return np.stack([np.asarray(values) for values in functions(-z1)])
        scale = np.sqrt(max(1 - rho**2, 0.0) * np.maximum(1 - z1**2 / n, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            kink = np.where(scale > 0, (self.kink - rho * z1) / (scale * math.sqrt(n / (n - 1))), math.inf)
        z, w = coordinate_rule(n - 1, kink, self.steepness, self.order)
        z2 = rho * z1[:, None] + scale[:, None] * math.sqrt(n / (n - 1)) * z
        return np.stack([np.einsum("ij,ij->i", values, w) for values in functions(z2)])

    def _interpolated_means(self, functions: Functions) -> np.ndarray | None:
        """The means from a few z₁ by Chebyshev interpolation in t; None where they are not smooth enough."""
        t = _angle(self.z, self.n)
        reach = float(np.abs(t).max())
        few = np.cos(np.pi * (np.arange(_INTERPOLATED) + 0.5) / _INTERPOLATED)
        means = self._means_at(_coordinate(reach * few, self.n), functions)
        basis = np.polynomial.chebyshev.chebvander(few, _INTERPOLATED - 1)
        coefficients = 2 / _INTERPOLATED * means @ basis
        coefficients[:, 0] /= 2
        size = np.sqrt([self.weights @ values**2 for values in functions(self.z)])
        if np.any(np.abs(coefficients[:, -3:]).max(axis=1) > 1e-12 * size):
            return None
        return coefficients @ np.polynomial.chebyshev.chebvander(t / reach, _INTERPOLATED - 1).T
