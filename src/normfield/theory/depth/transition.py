"""Where ε is too large: the batch's variance falls below it and the signal dies out layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from normfield.theory.depth.response import CollapsedResponse, Unit, slopes_at


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


def collapse_transition(unit: Unit, weight_variance: float) -> CollapseTransition:
    """Both ε_c from the slopes p and m of φ to the right and left of β, c₁ = (p+m)/2 and c₂ = (p−m)/2.

    A small batch sees c₁x + c₂|x|: ε_c = σ_w²γ²(1−1/B)·μ*(c₁, c₂) with μ* at unit scale. A batch along
    e₁ − 1/B keeps its direction: ε_c = σ_w²γ²[(p(B−1)+m)² + (m(B−1)+p)²]/(2B²). ReLU at β = 0:
    ½σ_w²γ²(1−1/B)(1−J(c₀)) and ½σ_w²γ²[(1−1/B)²+1/B²].
    """
    right, left = slopes_at(unit.phi, unit.beta)
    b, size = 1 / unit.batch_size, weight_variance * unit.gamma**2
    symmetric = CollapsedResponse(unit)(np.zeros(())).spread
    far = (right * (1 - b) + left * b) ** 2 + (left * (1 - b) + right * b) ** 2
    return CollapseTransition(float(weight_variance * (1 - b) * symmetric), size * far / 2)
