"""Nodes for the integral over s that takes the normaliser of batch norm out of an expectation.

E[R^{−k} g(y)] = (1/Γ(k)) ∫₀^∞ s^{k−1} w(s) E_s[g] ds with w(s) = e^{−sBε} det(I + 2sΣ)^{−1/2}. In t = log s the
integrands are analytic for |Im t| < π/2 and fall off exponentially on both sides, so that the trapezoidal rule
converges geometrically; log w is concave in t, so that its interval has two ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from normfield.theory.kernels.centred import CentredCovariance


@dataclass(frozen=True)
class Rule:
    """Nodes s and weights with ∫₀^∞ w(s) f(s) ds ≈ Σ weight·f(s)."""

    nodes: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Density:
    """log of s^{power} w(s) (1 + 2s)^{−falls} as a function of t = log s; concave."""

    centred: CentredCovariance
    power: float = 1.0
    falls: float = 0.0

    def log(self, t: np.ndarray) -> np.ndarray:
        """Values at t."""
        return self.power * t - self.falls * np.log1p(2 * np.exp(t)) + log_weight(self.centred, t)

    def slope(self, t: float) -> float:
        """Derivative in t."""
        s = np.exp(t)
        x = 2 * s * self.centred.values
        damping = self.centred.size * self.centred.eps * s
        return float(self.power - self.falls * 2 * s / (1 + 2 * s) - damping - 0.5 * np.sum(x / (1 + x)))


def log_weight(centred: CentredCovariance, t: np.ndarray) -> np.ndarray:
    """log w at s = e^t."""
    s = np.exp(np.atleast_1d(t))
    values = centred.values[centred.values > 0]
    return -s * centred.size * centred.eps - 0.5 * np.sum(np.log1p(2 * s[:, None] * values), axis=1)


def _crossing(function: Callable[[float], float], start: float, step: float) -> float:
    """Where a function that is positive at ``start`` turns negative in the direction of ``step``."""
    end = start + step
    while function(end) > 0:
        start, end, step = end, end + 2 * step, 2 * step
    return float(brentq(function, start, end, xtol=1e-6))


def _peak(density: Density) -> float:
    sign = 1.0 if density.slope(0.0) > 0 else -1.0
    return _crossing(lambda t: sign * density.slope(t), 0.0, sign)


def _ends(density: Density, fall: float) -> tuple[float, float, float]:
    """Left end, peak and right end of where the density is within e^{−fall} of its largest value."""
    peak = _peak(density)
    least = float(density.log(np.array([peak]))[0]) - fall

    def above(t: float) -> float:
        return float(density.log(np.array([t]))[0]) - least

    return _crossing(above, peak, -1.0), peak, _crossing(above, peak, 1.0)


def _step(density: Density, peak: float, fall: float) -> float:
    """Spacing for an error of e^{−fall}: by the strip |Im t| < π/2, or by the width of a narrow peak."""
    h = 1e-3
    width = (max(density.slope(peak - h) - density.slope(peak + h), 1e-300) / (2 * h)) ** -0.5
    return min(np.pi**2 / fall, 2 * np.pi * width / np.sqrt(2 * fall))


def trapezoid(centred: CentredCovariance, densities: list[Density], digits: float) -> Rule:
    """The trapezoidal rule in log s that gives each density's integral to ``digits`` decimal digits."""
    fall = digits * np.log(10)
    ends = [_ends(density, fall) for density in densities]
    left, right = min(e[0] for e in ends), max(e[2] for e in ends)
    step = min(_step(density, e[1], fall) for density, e in zip(densities, ends, strict=True))
    t = np.linspace(left, right, int(np.ceil((right - left) / step)) + 1)
    spacing = t[1] - t[0]
    return Rule(np.exp(t), np.exp(t + log_weight(centred, t)) * spacing)
