"""A normalised step of one unit's direction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from normfield.train.decoupling.unit import Unit


@dataclass(frozen=True, eq=False)
class Turn:
    """New weights (d,), the step size s that led to them (NaN where they stayed), and the loss before."""

    weights: Tensor
    step_size: float
    loss_before: float


def turned(unit: Unit, inputs: Tensor, w: Tensor) -> Turn:
    """w − s∇_w f with s = −‖w‖_S³/(L g h), at right angles to w; taken at w̃ = w, where g = ‖w‖_S.

    h = (uᵀw)c₁ = wᵀ∇f − c₂ g‖w‖_S, and L = λ_max(E[κxxᵀ])/c₂ with κ the second derivative of a sample's loss by z and
    c₂ = Eκ: λ_max(S) wherever κ does not depend on x.
    """
    outputs = inputs @ w
    squared = float(outputs.square().mean())
    loss, slopes = unit.slope(outputs)
    gradient = inputs.T @ slopes
    bends = unit.bends(outputs)
    along = float(w @ gradient)
    across = gradient - inputs.T @ outputs * (along / (squared * len(inputs)))
    h = along - float(bends.sum()) * squared
    largest = largest_eigenvalue(inputs, bends)
    still = Turn(w, float("nan"), loss)
    if not largest > 0 or h == 0:
        return still
    step = -squared * float(bends.sum()) / (largest * h)
    new = w - step * across
    return Turn(new, step, loss) if bool(torch.isfinite(new).all()) else still


def largest_eigenvalue(inputs: Tensor, weights: Tensor) -> float:
    """Of Σ_b κ_b x_b x_bᵀ, κ at least 0, by the smaller of its two Gram matrices."""
    rows = inputs * weights.clamp(min=0).sqrt()[:, None]
    gram = rows.T @ rows if rows.shape[0] >= rows.shape[1] else rows @ rows.T
    return float(torch.linalg.eigvalsh(gram)[-1]) if bool(torch.isfinite(gram).all()) else float("nan")
