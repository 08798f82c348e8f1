"""Sizes of one layer's signal and gradient, from few passes over its values.

Letters: z the layer's outputs, one row z_i for each of m samples, its units and positions side by side; g = ∂ℓ/∂z.
[Daneshmand 2020] is "Batch normalization provably avoids rank collapse", [Daneshmand 2021] "Batch normalization
orthogonalizes representations".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

_LEAST, _MOST = 1e-12, 1e12  # of norms whose squares, and theirs, float32 still holds to its precision
_CANCELS = 0.1  # E z² − (E z)² below this part of E z² is computed from z − E z instead


@dataclass(frozen=True)
class SignalSize:
    """What is kept of one layer's outputs; see `LayerSignal`."""

    mean: float
    mean_square: float
    standard_deviation: float
    correlation: float | None
    effective_rank: float | None
    orthogonality_gap: float | None


@dataclass(frozen=True)
class GradientSize:
    """‖g‖, and the part of the units whose g is 0 for every sample and position."""

    norm: float
    dead_fraction: float


NO_GRADIENT = GradientSize(0.0, 1.0)


def norm(tensor: Tensor) -> float:
    """The Euclidean norm, also where squares leave the range of float32."""
    found = float(vector_norm(tensor))
    return found if _LEAST < found < _MOST else float(vector_norm(tensor, dtype=torch.float64))


def in_range(tensor: Tensor) -> tuple[Tensor, float]:
    """The values in a dtype that holds their squares, and their norm."""
    wide = tensor.float() if tensor.dtype.itemsize < 4 else tensor
    found = norm(wide)
    return (wide if _LEAST < found < _MOST else wide.double()), found


def signal_size(z: Tensor) -> SignalSize:
    """Of outputs (m, …)."""
    rows, size = in_range(z.detach().reshape(len(z), -1))
    if not size > 0:
        return SignalSize(0.0, 0.0, 0.0, None, None, None)
    mean, mean_square = float(rows.mean()), size * size / rows.numel()
    rank = effective_rank(rows)
    return SignalSize(
        mean,
        mean_square,
        _deviation(rows, mean, mean_square),
        mean_cosine(rows),
        rank,
        orthogonality_gap(rank, len(rows)),
    )


def _deviation(rows: Tensor, mean: float, mean_square: float) -> float:
    """√(E z² − (E z)²), without its cancellation."""
    variance = mean_square - mean * mean
    if variance > _CANCELS * mean_square:
        return math.sqrt(variance)
    return norm(rows - mean) / math.sqrt(rows.numel())


def mean_cosine(rows: Tensor) -> float | None:
    """Over all pairs of different rows, from the square of the sum of unit vectors."""
    samples, norms = len(rows), vector_norm(rows, dim=1)
    if samples < 2 or not bool((norms > 0).all()):
        return None
    total = float((norms.reciprocal() @ rows).double().square().sum())
    return (total - samples) / (samples * (samples - 1))


def effective_rank(rows: Tensor) -> float:
    """(tr G)²/‖G‖_F² of the Gram matrix G = zzᵀ [Daneshmand 2020]; its smaller relative zᵀz gives the same."""
    gram = (rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows).double()
    return float(gram.trace().square() / gram.square().sum())


def orthogonality_gap(rank: float, samples: int) -> float:
    """‖G/tr G − 1/m‖_F, whose square is 1/rank − 1/m [Daneshmand 2021]."""
    return math.sqrt(max(1 / rank - 1 / samples, 0.0))


def gradient_size(gradient: Tensor, channels_first: bool) -> GradientSize:
    """Of g in the outputs' shape, units in dimension 1 or in the last."""
    g, size = in_range(gradient.detach())
    if not size > 0:
        return NO_GRADIENT
    return GradientSize(size, _dead_fraction(g, channels_first))


def _dead_fraction(g: Tensor, channels_first: bool) -> float:
    """Squares that sum to 0 may have underflown, so that there the values themselves are asked."""
    by_unit = g.flatten(2) if channels_first and g.dim() > 2 else g.reshape(-1, g.shape[-1], 1)
    silent = vector_norm(vector_norm(by_unit, dim=2), dim=0) == 0
    reached = (by_unit[:, silent] != 0).any(2).any(0)
    return (int(silent.sum()) - int(reached.sum())) / len(silent)
