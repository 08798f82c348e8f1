"""How long a batch's centred pre-activations are: x = χ²_{B−1}/B, by the trapezoidal rule in ln x."""

from __future__ import annotations

import math

import numpy as np

# ln x reaches to where e^{−37} of the density is left: 1e-16.
_TAIL = 37.0
_STEP = 0.1


def radius_rule(batch_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes x and weights, E f(χ²_{B−1}/B) ≈ Σ w f(x); one node at 1 for B → ∞.

    The density of τ = ln(χ²/n), n = B − 1, is ∝ exp[(n/2)(τ − e^τ)]. It leaves room on the left for f ~ 1/x.
    """
    if math.isinf(batch_size):
        return np.ones(1), np.ones(1)
    n = batch_size - 1
    deviation = math.sqrt(2 / n)
    left = -min(10.3 * deviation, 1.0) if 10.5 * deviation < 1 else -1 - 2 * _TAIL / max(n - 2, 1)
    right = min(9 * deviation, math.log(6 + 2.2 * _TAIL / n))
    count = math.ceil((right - left) / min(_STEP, 0.3 * deviation)) + 1
    tau = np.linspace(left, right, count)
    weights = np.exp(n / 2 * (tau - np.expm1(tau)))
    return n * np.exp(tau) / batch_size, weights / weights.sum()
