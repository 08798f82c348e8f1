"""Where ε is too large: the batch's variance falls below it and the signal dies out layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from normfield.network import ActivationFunction
from normfield.theory.depth.closed_forms import homogeneous_values
from normfield.theory.gaussian import derivative

# Beyond the step of a numerical derivative; a kink is told from curvature by the relative jump of φ′ across it.
_BESIDE, _JUMP = 2e-5, 1e-3


@dataclass(frozen=True)
class CollapseTransition:
    """ε_c, above which the collapsed batch is stable; numbers, or arrays over a grid.

    Attributes
    ----------
    symmetric
        For permutation-symmetric data; σ_w²γ²φ′(β)² where φ is smooth at β.
    outlier
        For a state in which one sample of the batch stands against all others; the same where φ is smooth at β.
    """

    symmetric: Any
    outlier: Any


def collapse_transition(
    phi: ActivationFunction, batch_size: float, gamma: float, beta: float, weight_variance: float
) -> CollapseTransition:
    """Both ε_c from the slopes p and m of φ to the right and left of β, c₁ = (p+m)/2 and c₂ = (p−m)/2.

    A small batch sees c₁x + c₂|x|: ε_c = σ_w²γ²(1−1/B)·μ*(c₁, c₂) with μ* at unit scale. A batch along
    e₁ − 1/B keeps its direction: ε_c = σ_w²γ²[(p(B−1)+m)² + (m(B−1)+p)²]/(2B²). ReLU at β = 0:
    ½σ_w²γ²(1−1/B)(1−J(c₀)) and ½σ_w²γ²[(1−1/B)²+1/B²].
    """
    right, left = slopes_at(phi, beta)
    b, size = 1 / batch_size, weight_variance * gamma**2
    values = homogeneous_values((right + left) / 2, (right - left) / 2, batch_size, 1.0)
    far = (right * (1 - b) + left * b) ** 2 + (left * (1 - b) + right * b) ** 2
    return CollapseTransition(size * (1 - b) * (values[2] - values[4]), size * far / 2)


def slopes_at(phi: ActivationFunction, beta: float) -> tuple[float, float]:
    """φ′ to the right and to the left of β, equal where φ has no kink there."""
    slope = derivative(phi)
    right, left = (float(slope(np.array(beta + step))) for step in (_BESIDE, -_BESIDE))
    if abs(right - left) > _JUMP * max(abs(right), abs(left)):
        return right, left
    here = float(slope(np.array(beta)))
    return here, here
