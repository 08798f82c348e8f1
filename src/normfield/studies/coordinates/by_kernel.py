"""What gradient descent leaves of a target while a network stays near its initial weights: its kernel's prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def left_factors(eigenvalues: np.ndarray, rate: float, momentum: float, steps: Sequence[int]) -> np.ndarray:
    """What is left of a residual along each eigenvector of Θ/B after so many steps of heavy ball, (steps, B).

    r_{t+1} = (1 + μ − ηλ) r_t − μ r_{t−1}, r_{−1} = r_0 = 1.
    """
    now, before = np.ones_like(eigenvalues), np.ones_like(eigenvalues)
    found = {0: now}
    for step in range(1, max(steps) + 1):
        now, before = (1 + momentum - rate * eigenvalues) * now - momentum * before, now
        found[step] = now
    return np.stack([found[step] for step in steps])


def residuals(
    kernel: np.ndarray, target: np.ndarray, rate: float, momentum: float, steps: Sequence[int]
) -> np.ndarray:
    """Target minus output (steps, B) of a network that starts at 0, by its kernel Θ (B, B)."""
    eigenvalues, vectors = np.linalg.eigh(kernel / len(target))
    factors = left_factors(eigenvalues, rate, momentum, steps)
    return (factors * (vectors.T @ target)) @ vectors.T
