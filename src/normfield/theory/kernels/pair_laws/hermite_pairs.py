r"""Pairs under any activation by Mehler's series in the correlation.

With h_n = He_n/√n! and coefficients c_n = E f(g)h_n(g), Mehler's formula reads

    E f_i(g_i) f_j(g_j) = Σ_n c_n^i c_n^j ρⁿ,

and integration by parts gives the coefficients of derivatives, (f′)_n = √(n+1) f_{n+1}, also where φ has kinks. The
coefficients belong to single samples, so that variances may differ. The rest behind order N is at most
|ρ|^{N+1} √(r_i r_j) with r = E f² − Σ c² (Cauchy–Schwarz), which is part of the error that is returned; coinciding
samples and the diagonal (ρ = 1) take E f² itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, to_device

from normfield.network import ActivationFunction
from normfield.theory import ops
from normfield.theory.gaussian import derivative
from normfield.theory.kernels.pair_laws.laws import Arguments, Derivatives, Values
from normfield.theory.kernels.pair_laws.near_pairs import FIELDS, Near, near_pairs
from normfield.theory.kernels.pair_laws.panels import normal_rule

_ORDERS = (40, 80, 160, 320)
_TOLERANCE = 1e-13
_LOOSER = 1e-11  # of derivatives, which enter with the inverse participation ratio
_BAD, _BAD_DERIVATIVES = 1e-10, 1e-7  # left out of the series, above which a table of near pairs is made
_MOST = 4_000_000  # pairs that a table takes: more would need more memory than the kernels themselves
_CUTS = (0.99, 0.97, 0.95, 0.93, 0.9, 0.85, 0.8)
_CHECKED = 40  # orders whose coefficients are compared with the derivative's
_SAMPLES = 16  # rows of nodes at once
_ROWS = 64  # rows of pairs at once: a block fits a processor's cache


@dataclass(frozen=True)
class Coefficients:
    """Hermite coefficients (orders, B) of φ, ψ and f = gψ, and the moments that the diagonal needs.

    ``moments`` (6, B) holds E φ², E ψ², E g²ψ², E g⁴ψ², E φ, E ψ.
    """

    value: np.ndarray
    slope: np.ndarray
    argued: np.ndarray
    moments: np.ndarray

    @property
    def order(self) -> int:
        """Terms that the series take."""
        return self.value.shape[0]


def _hermite(z: np.ndarray, order: int) -> np.ndarray:
    """h_0 … h_{order−1} at the nodes, shape (rows, order, K)."""
    h = np.empty((z.shape[0], order, z.shape[1]))
    h[:, 0], h[:, 1] = 1.0, z
    for n in range(1, order - 1):
        h[:, n + 1] = (z * h[:, n] - math.sqrt(n) * h[:, n - 1]) / math.sqrt(n + 1)
    return h


def coefficients(phi: ActivationFunction, scale: np.ndarray, shift: float, order: int) -> Coefficients:
    """Coefficients of φ(β + s g) and φ′(β + s g) for every s, by quadrature on panels around the argument 0."""
    distinct, back = np.unique(scale, return_inverse=True)
    shared = shift == 0 or distinct.size == 1
    parts = [distinct] if shared else np.array_split(distinct, math.ceil(distinct.size / _SAMPLES))
    found = [_project(phi, part, shift, order + 4, shared) for part in parts]
    value, slope, moments = (np.concatenate(each, axis=1)[:, back] for each in zip(*found, strict=True))
    if phi.parity is not None and shift == 0:
        even = 0 if phi.parity == "odd" else 1
        value[even::2] = 0.0
        slope[1 - even :: 2] = 0.0
    return Coefficients(value[:order], slope, _argued(slope)[: order + 3], moments)


def _argued(slope: np.ndarray) -> np.ndarray:
    """(gψ)_n = √(n+1) ψ_{n+1} + √n ψ_{n−1}, one order fewer."""
    root = np.sqrt(np.arange(slope.shape[0]))[:, None]
    argued = root[1:] * slope[1:]
    argued[1:] += root[1:-1] * slope[:-2]
    return argued


def _project(
    phi: ActivationFunction, scale: np.ndarray, shift: float, order: int, shared: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    some = scale[:1] if shared else scale
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.nan_to_num(-shift / some, nan=0.0, posinf=1e3, neginf=-1e3)
    z, w = normal_rule(centre[:, None], order)
    h = _hermite(z, order)
    arguments = shift + scale[:, None] * z
    f, df = phi.function(ops, arguments), derivative(phi)(arguments)
    moments = [f * f, df * df, (z * df) ** 2, (z * z * df) ** 2, f, df]
    both = np.stack([w * f, w * df], axis=-1)
    if shared:
        value, slope = np.moveaxis(np.tensordot(h[0], both, axes=(1, 1)), -1, 0)
    else:
        value, slope = np.moveaxis(np.matmul(h, both), (2, 1, 0), (0, 1, 2))
    return value, slope, np.stack([np.sum(w * m, axis=1) for m in moments])


def hermite_law(phi: ActivationFunction, arguments: Arguments) -> HermiteLaw:
    """The law of an activation, with as many terms as its pairs need."""
    scale = np.asarray(to_device(arguments.scale, "cpu"), dtype=float)
    largest = _largest(arguments)
    for order in _ORDERS[:-1]:
        found = coefficients(phi, scale, arguments.shift, order)
        if _rest(found, largest) <= _TOLERANCE and _rest_of_derivatives(found, largest) <= _LOOSER:
            break
    else:
        found = coefficients(phi, scale, arguments.shift, _ORDERS[-1])
    rests = _rest(found, largest), _rest_of_derivatives(found, largest)
    near: tuple[Near | None, ...] = (None, None)
    if rests[0] > _BAD or rests[1] > _BAD_DERIVATIVES:
        near, rests = _helped(phi, scale, arguments, found, rests)
    numerical = _numerical_error(found, scale)
    return HermiteLaw(arguments, found, numerical + rests[0], numerical + rests[1], *near)


def _helped(
    phi: ActivationFunction,
    scale: np.ndarray,
    arguments: Arguments,
    found: Coefficients,
    rests: tuple[float, float],
) -> tuple[tuple[Near | None, ...], tuple[float, float]]:
    """Pairs beyond the reach of the series from a table, values and derivatives each unless the series does better."""
    rho = np.asarray(to_device(arguments.correlation, "cpu"))
    served = (
        c for c in _CUTS if _rest(found, c) <= _BAD and _rest_of_derivatives(found, c) <= _BAD_DERIVATIVES
    )
    cut = next(served, _CUTS[-1])
    alike = np.asarray(to_device(_coincide(arguments), "cpu"))
    rows, columns = np.nonzero((np.abs(rho) > cut) & ~alike)
    if rows.size > _MOST:
        return (None, None), rests
    near = near_pairs(phi, scale, arguments.shift, rho, (rows, columns))
    helped = (
        max(near.value_error, _rest(found, cut)),
        max(near.derivative_error, _rest_of_derivatives(found, cut)),
    )
    better = tuple(near if ours < theirs else None for ours, theirs in zip(helped, rests, strict=True))
    return better, (min(helped[0], rests[0]), min(helped[1], rests[1]))


def _largest(arguments: Arguments) -> float:
    """Largest |ρ| among pairs that do not coincide."""
    xp = array_namespace(arguments.correlation)
    rho = arguments.correlation
    return float(xp.max(xp.where(_coincide(arguments), xp.zeros_like(rho), xp.abs(rho))))


def _coincide(arguments: Arguments) -> Any:
    """Pairs of one and the same variable."""
    xp = array_namespace(arguments.correlation)
    scale = arguments.scale
    alike = xp.abs(scale[:, None] - scale[None, :]) <= 1e-12 * xp.abs(scale)[:, None]
    return (arguments.correlation == 1) & alike


def _rest(found: Coefficients, largest: float) -> float:
    """Bound of what is left out of E φφ, E ψψ and E ff, relative to the diagonal."""
    sums = [np.sum(c[: found.order] ** 2, axis=0) for c in (found.value, found.slope, found.argued)]
    rests = [
        float(np.max(np.abs(exact - some))) / float(exact.max())
        for exact, some in zip(found.moments, sums, strict=False)
        if exact.max() > 0
    ]
    return largest ** (found.order + 1) * max(rests, default=0.0)


def _rest_of_derivatives(found: Coefficients, largest: float) -> float:
    """Estimate of what is left out of E f′f′, from how the last quarters of its terms fall off."""
    n = np.arange(found.order)[:, None]
    terms = (n + 1) * found.argued[1 : found.order + 1] ** 2 * largest**n
    quarter = found.order // 4
    before, last = terms[-2 * quarter : -quarter].sum(axis=0), terms[-quarter:].sum(axis=0)
    total = float(terms.sum(axis=0).max())
    if total == 0:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(last > 0, last / before, 0.0)
        ahead = np.where(rate < 1, rate / (1 - rate), np.inf)
    return float(np.max(np.where(last > 0, last * np.maximum(4.0, ahead), 0.0))) / total


def _numerical_error(found: Coefficients, scale: np.ndarray) -> float:
    """How far sψ_n = √(n+1) φ_{n+1} is missed: the error of the nodes, and of a derivative that is not φ′."""
    root = np.sqrt(np.arange(1, found.order))[:, None]
    missed = scale * found.slope[: found.order - 1] - root * found.value[1:]
    size = float(np.max(np.abs(scale) * np.sqrt(found.moments[1])))
    return float(np.abs(missed[:_CHECKED]).max()) / size if size > 0 else 0.0


@dataclass(frozen=True)
class HermiteLaw:
    """Series of an activation's pairs."""

    arguments: Arguments
    coefficients: Coefficients
    value_error: float
    derivative_error: float
    near_values: Near | None = None
    near_derivatives: Near | None = None

    def _array(self, numbers: np.ndarray) -> Any:
        rho = self.arguments.correlation
        return array_namespace(rho).asarray(numbers, dtype=rho.dtype, device=getattr(rho, "device", None))

    def _series(self, *pairs: tuple[np.ndarray, np.ndarray]) -> list[Any]:
        """Σ_n left_n^i right_n^j ρⁿ for each pair of coefficient tables, a block of rows at a time."""
        xp = array_namespace(self.arguments.correlation)
        rho = self.arguments.correlation
        order = self.coefficients.order
        tables = [(self._array(left[:order]), self._array(right[:order])) for left, right in pairs]
        used = [[n for n in range(order) if left[n].any() and right[n].any()] for left, right in pairs]
        sums = [xp.zeros_like(rho) for _ in pairs]
        for i in range(0, rho.shape[0], _ROWS):
            block = rho[i : i + _ROWS]
            for (left, right), orders, total in zip(tables, used, sums, strict=True):
                _add_series(block, left[:, i : i + _ROWS], right, orders, total[i : i + _ROWS])
        return sums

    def values(self) -> Values:
        c = self.coefficients
        product, slopes, argued = self._series(*((x, x) for x in (c.value, c.slope, c.argued)))
        for matrix, exact in zip((product, slopes, argued), c.moments, strict=False):
            self._replace(matrix, exact)
        self._put_near(self.near_values, product=product, slopes=slopes, argued=argued)
        return Values(self._array(c.value[0]), product, slopes, argued, self.value_error)

    def derivatives(self) -> Derivatives:
        """Where g_i = g_j only sums count: (fψ)′ = f′ψ + fψ′ and (f²)″ = 2f′² + 2ff″ have E g²ψ² and E(g⁴ − g²)ψ²."""
        c = self.coefficients
        root = np.sqrt(np.arange(c.argued.shape[0]))[:, None]
        slope_bent = root[1:] * c.slope[1 : root.shape[0]]
        bent = root[1:] * c.argued[1:]
        curved = root[1:-1] * bent[1:]
        left, right, both, curve = self._series(
            (bent, c.slope), (c.argued, slope_bent), (bent, bent), (curved, c.argued)
        )
        diagonal = array_namespace(left).linalg.diagonal
        third, fourth = (self._array(c.moments[k]) for k in (2, 3))
        self._replace(left, third - diagonal(right))
        self._replace(both, (fourth - third) / 2 - diagonal(curve))
        self._put_near(self.near_derivatives, bent_left=left, bent_right=right, curved=curve, both=both)
        return Derivatives(left, right, curve, both, self.derivative_error)

    def _put_near(self, near: Near | None, **matrices: Any) -> None:
        """Put what the table of near pairs holds."""
        if near is None:
            return
        xp = array_namespace(self.arguments.correlation)
        where = xp.asarray(near.rows), xp.asarray(near.columns)
        for name, matrix in matrices.items():
            matrix[where] = self._array(near.found[:, FIELDS.index(name)])

    def _replace(self, matrix: Any, exact: Any) -> None:
        """Put numbers (B,) that hold at ρ = 1 where samples coincide."""
        xp = array_namespace(matrix)
        alike = _coincide(self.arguments)
        matrix[...] = xp.where(alike, self._array(exact)[:, None] + xp.zeros_like(matrix), matrix)


def _add_series(rho: Any, left: Any, right: Any, orders: list[int], total: Any) -> None:
    xp = array_namespace(rho)
    power, reached = xp.ones_like(rho), 0
    for n in orders:
        for _ in range(n - reached):
            power *= rho
        reached = n
        term = left[n][:, None] * right[n][None, :]
        term *= power
        total += term
