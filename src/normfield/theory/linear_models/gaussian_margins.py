"""Expected losses of a Gaussian margin to round-off, by two trapezoidal rules that converge exponentially.

A logistic function of a + s·x, x ~ N(0, 1), is analytic within |Im x| < π/s: for s ≤ 1 the rule runs over x. For s > 1
it runs over τ, since softplus(t) = ∫ℓ(τ)(t − τ)₊dτ with the logistic density ℓ, analytic within |Im τ| < π, and the
Gaussian mean of (t − τ)₊ is known. With step ½ both are right to about 10⁻¹⁵.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtr

from normfield.theory.linear_models.margin_loss import MarginLoss

_STEP = 0.5
_X = np.arange(-9, 9 + _STEP, _STEP)[:, None]
_X_WEIGHTS = (_STEP * np.exp(-(_X**2) / 2) / np.sqrt(2 * np.pi))[:, 0]
_T = np.arange(-40, 40 + _STEP, _STEP)[:, None]
_T_WEIGHTS = (_STEP * expit(_T) * expit(-_T))[:, 0]


class Expected(NamedTuple):
    """Eφ′ and Eφ″ (n,)."""

    slope: np.ndarray
    bend: np.ndarray


def expected_value(loss: MarginLoss, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Eφ(t) (n,) of t ~ N(mean, deviation²)."""
    centre, spread = loss.sharpness * (mean + loss.margin), loss.sharpness * deviation
    found = np.empty_like(centre)
    narrow = spread <= 1
    found[narrow] = _X_WEIGHTS @ np.logaddexp(0, centre[narrow] + spread[narrow] * _X)
    away, s = centre[~narrow] - _T, spread[~narrow]
    found[~narrow] = _T_WEIGHTS @ (away * ndtr(away / s) + s * _density(away / s))
    return found / loss.sharpness


def expected_slopes(loss: MarginLoss, mean: np.ndarray, deviation: np.ndarray) -> Expected:
    """Eφ′(t) and Eφ″(t)."""
    centre, spread = loss.sharpness * (mean + loss.margin), loss.sharpness * deviation
    slope, bend = np.empty_like(centre), np.empty_like(centre)
    narrow = spread <= 1
    first = expit(centre[narrow] + spread[narrow] * _X)
    slope[narrow], bend[narrow] = _X_WEIGHTS @ first, _X_WEIGHTS @ (first * (1 - first))
    s = spread[~narrow]
    away = (centre[~narrow] - _T) / s
    slope[~narrow], bend[~narrow] = _T_WEIGHTS @ ndtr(away), _T_WEIGHTS @ _density(away) / s
    return Expected(slope, loss.sharpness * bend)


def _density(x: np.ndarray) -> np.ndarray:
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
