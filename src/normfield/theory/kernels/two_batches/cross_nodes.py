"""Nodes for the two integrals over s and t that take the normalisers of two batches out of an expectation.

R^{−1/2} = (2/√π) ∫₀^∞ e^{−x²R} dx, with s = x². As a function of x the integrand is even and analytic, and falls like a
Gaussian where many directions share a batch's variance; where few do, its fall is algebraic, which x = a sinh τ makes
exponential. The trapezoidal rule in τ then converges geometrically, on half a line, with a = 1/√(2λ_max) so that no
pole of w comes nearer to the real line than |Im τ| = π/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import root_scalar

from normfield.theory.kernels.layer.centred import CentredCovariance

_STRIP = 1.0  # half-width of the strip in which entries of the integrand are analytic, as measured
_FARTHEST = 40.0


@dataclass(frozen=True)
class HalfLine:
    """The rule ∫₀^∞ f(x²) dx ≈ Σ weight·f(node) of one batch.

    Attributes
    ----------
    scale : float
        a in x = a sinh τ.
    step : float
        Between values of τ.
    end : float
        Largest τ.
    total : float
        ∫₀^∞ w(x²) dx of this batch alone.
    """

    scale: float
    step: float
    end: float
    total: float

    @property
    def points(self) -> np.ndarray:
        """τ from 0."""
        return np.arange(math.ceil(self.end / self.step) + 1) * self.step

    @property
    def nodes(self) -> np.ndarray:
        """s = x²."""
        return (self.scale * np.sinh(self.points)) ** 2

    @property
    def weights(self) -> np.ndarray:
        """Half of the weight at 0, where the even integrand is cut."""
        weights = self.step * self.scale * np.cosh(self.points)
        weights[0] /= 2
        return weights

    def finer(self) -> HalfLine:
        """The rule of half the step, whose nodes contain these."""
        return HalfLine(self.scale, self.step / 2, self.end, self.total)


def log_weight(centred: CentredCovariance, s: np.ndarray) -> np.ndarray:
    """log of w(s) = e^{−sBε} det(I + 2sΣ)^{−1/2} of one batch."""
    values = centred.values[centred.values > 0]
    return -s * centred.size * centred.eps - 0.5 * np.sum(np.log1p(2 * s[..., None] * values), axis=-1)


def half_line(centred: CentredCovariance, power: float, tolerance: float) -> HalfLine:
    """The coarsest rule whose refinement is likely to reach the tolerance.

    Parameters
    ----------
    centred
    power : float
        The integrand falls like x^{power} w(x²), the measure dx counted.
    tolerance : float
    """
    largest = float(centred.values.max(initial=0.0))
    scale = 1 / math.sqrt(2 * largest) if largest > 0 else 1 / math.sqrt(centred.size * centred.eps)
    width = 1 / (scale * math.sqrt(float(centred.values.sum()) + centred.size * centred.eps))
    digits = -math.log(math.sqrt(tolerance) / 10)
    step = min(2 * math.pi * _STRIP / digits, math.pi * width / math.sqrt(digits + math.log(2)))
    draft = HalfLine(scale, step, _end(centred, scale, power, tolerance / 100), 0.0)
    total = float(draft.weights @ np.exp(log_weight(centred, draft.nodes)))
    return HalfLine(draft.scale, draft.step, draft.end, total)


def _end(centred: CentredCovariance, scale: float, power: float, least: float) -> float:
    """Where cosh(τ)^{power} w falls below ``least``."""

    def above(tau: float) -> float:
        s = np.array((scale * math.sinh(tau)) ** 2)
        return float(log_weight(centred, s)) + power * math.log(math.cosh(tau)) - math.log(least)

    return root_scalar(above, bracket=(0.0, _FARTHEST), xtol=1e-3).root if above(_FARTHEST) < 0 else _FARTHEST
