"""Nodes for the integral over s that takes the normaliser of batch norm out of an expectation.

E[R^{−k} g(y)] = (1/Γ(k)) ∫₀^∞ s^{k−1} w(s) E_s[g] ds with w(s) = e^{−sBε} det(I + 2sΣ)^{−1/2}.

In t = log s the integrands are analytic for |Im t| < π/2 and fall off exponentially on both sides, so that the
trapezoidal rule converges geometrically; log w is concave in t, so that its interval has two ends. A node costs O(B)
here and B×B products in the integrands: the trapezoidal rule is for what is cheap and for checks, `gauss_rules` for
the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from normfield.theory.kernels.layer.centred import CentredCovariance

_EXACT_DIGITS = 15.0
_MARGIN = (
    3.0  # in e-folds: for slow tails and for the growth of the integrands towards the edge of their strip
)
_BISECTIONS = 40


@dataclass(frozen=True)
class Rule:
    """Nodes s and weights with ∫₀^∞ w(s) f(s) ds ≈ Σ weight·f(s)."""

    nodes: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Density:
    """How an integrand falls off: s^{power} w(s) (1 + 2s)^{−falls}, per unit of t = log s; its log is concave."""

    centred: CentredCovariance
    power: float = 1.0
    falls: float = 0.0

    def log(self, t: float) -> float:
        """The logarithm at t."""
        return (
            self.power * t
            - self.falls * math.log1p(2 * math.exp(t))
            + log_weights(self.centred, np.exp([t]))[0]
        )

    def slope(self, t: float) -> float:
        """Its derivative in t."""
        s = math.exp(t)
        x = 2 * s * self.centred.values
        damping = self.centred.size * self.centred.eps * s
        return float(self.power - self.falls * 2 * s / (1 + 2 * s) - damping - 0.5 * np.sum(x / (1 + x)))


def log_weights(centred: CentredCovariance, nodes: np.ndarray) -> np.ndarray:
    """log w at each s."""
    determinants = np.sum(np.log1p(2 * nodes[:, None] * centred.values), axis=1)
    return -nodes * centred.size * centred.eps - 0.5 * determinants


def trapezoid(centred: CentredCovariance, densities: Sequence[Density], digits: float) -> Rule:
    """The trapezoidal rule in log s that gives each density's integral to ``digits`` decimal digits."""
    fall = digits * math.log(10) + _MARGIN
    ends = [_ends(density, fall) for density in densities]
    left, right = min(each[0] for each in ends), max(each[2] for each in ends)
    step = min(_step(density, each[1], fall) for density, each in zip(densities, ends, strict=True))
    t, spacing = np.linspace(left, right, math.ceil((right - left) / step) + 1, retstep=True)
    nodes = np.exp(t)
    return Rule(nodes, spacing * np.exp(t + log_weights(centred, nodes)))


@dataclass(frozen=True)
class GaussRules:
    """Gaussian rules in x = 1 − (1 + 2λ_max s)^{−1/4} whose weight is the mean of the densities.

    The integrands over their densities are smooth in x: linear in s where 2λ_max s < 1, which is where many directions
    with variance put all weight; slowly varying, like log s, between the least and the largest eigenvalue; and beyond
    them a power series in 1/s = O((1 − x)⁴). Few nodes do for any rank and spectrum.
    """

    densities: Sequence[Density]
    masses: Sequence[float]
    largest: float
    fine: Rule

    def rule(self, order: int) -> Rule:
        """The rule with so many nodes."""
        x = -np.expm1(-0.25 * np.log1p(2 * self.largest * self.fine.nodes))
        measure = self.fine.weights * self._measure(self.fine.nodes)
        found, weights = _gaussian_rule(x / x[-1], measure, order)
        nodes = np.expm1(-4 * np.log1p(-x[-1] * found)) / (2 * self.largest)
        return Rule(nodes, weights / self._measure(nodes))

    def _measure(self, nodes: np.ndarray) -> np.ndarray:
        """The densities' mean over that of ∫ w ds."""
        each = zip(self.densities, self.masses, strict=True)
        return np.sum([_relative(density, nodes) / mass for density, mass in each], axis=0)


def gauss_rules(centred: CentredCovariance, densities: Sequence[Density]) -> GaussRules:
    """Gaussian rules for integrands that fall off like these densities."""
    fine = trapezoid(centred, densities, _EXACT_DIGITS)
    masses = [float(np.sum(fine.weights * _relative(density, fine.nodes))) for density in densities]
    return GaussRules(densities, masses, max(float(centred.values.max()), 1.0), fine)


def _relative(density: Density, nodes: np.ndarray) -> np.ndarray:
    """A density over that of ∫ w ds."""
    return nodes ** (density.power - 1) * np.exp(-density.falls * np.log1p(2 * nodes))


def _gaussian_rule(points: np.ndarray, weights: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights exact for polynomials of degree below 2·order under a discrete measure, by Lanczos."""
    total = float(weights.sum())
    basis = [np.sqrt(weights / total)]
    diagonal, beside = [], []
    for _ in range(order):
        following = points * basis[-1]
        diagonal.append(float(following @ basis[-1]))
        for _ in range(2):
            following -= np.transpose(basis) @ (np.asarray(basis) @ following)
        beside.append(float(np.linalg.norm(following)))
        basis.append(following / beside[-1])
    jacobi = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes, total * vectors[0] ** 2


def _ends(density: Density, fall: float) -> tuple[float, float, float]:
    """Left end, peak and right end of where a density is within e^{−fall} of its largest value."""
    sign = 1.0 if density.slope(0.0) > 0 else -1.0
    peak = _crossing(lambda t: sign * density.slope(t), 0.0, sign)
    least = density.log(peak) - fall
    left, right = (_crossing(lambda t: density.log(t) - least, peak, step) for step in (-1.0, 1.0))
    return left, peak, right


def _crossing(function: Callable[[float], float], start: float, step: float) -> float:
    """Where a function that is positive at ``start`` turns negative in the direction of ``step``."""
    end = start + step
    while function(end) > 0:
        start, end, step = end, end + 2 * step, 2 * step
    for _ in range(_BISECTIONS):
        middle = (start + end) / 2
        start, end = (middle, end) if function(middle) > 0 else (start, middle)
    return end


def _step(density: Density, peak: float, fall: float) -> float:
    """Spacing for an error of e^{−fall}: by the strip |Im t| < π/2, or by the width of a narrow peak."""
    h = 1e-3
    curvature = (density.slope(peak - h) - density.slope(peak + h)) / (2 * h)
    return min(math.pi**2 / fall, 2 * math.pi / math.sqrt(2 * fall * curvature))
