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
_NO_SIGNAL = SignalSize(0.0, 0.0, 0.0, None, None, None)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor itself, or half precision's values in float32."""
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def _norm64(tensor: Tensor) -> float:
    return float(vector_norm(tensor, dtype=torch.float64))


def norm(tensor: Tensor) -> float:
    """The Euclidean norm, also where squares leave the range of float32."""
    found = float(vector_norm(tensor))
    return found if _LEAST < found < _MOST else _norm64(tensor)


def signal_size(z: Tensor) -> SignalSize:
    """Of outputs (m, …)."""
    rows = at_least_float32(z.detach()).reshape(len(z), -1)
    found = _of_rows(rows)
    return found if found is not None else _of_rows(rows.double()) or _NO_SIGNAL


def _of_rows(rows: Tensor) -> SignalSize | None:
    """None where the dtype does not hold the squares, or where there is nothing but 0."""
    norms = vector_norm(rows, dim=1)
    size = _norm64(norms)
    if size == 0 or (rows.dtype != torch.float64 and not _LEAST < size < _MOST):
        return None
    mean, mean_square = float(rows.mean()), size * size / rows.numel()
    rank = effective_rank(rows, size)
    return SignalSize(
        mean,
        mean_square,
        _deviation(rows, mean, mean_square),
        mean_cosine(rows, norms),
        rank,
        orthogonality_gap(rank, len(rows)),
    )


def _deviation(rows: Tensor, mean: float, mean_square: float) -> float:
    """√(E z² − (E z)²), without its cancellation."""
    variance = mean_square - mean * mean
    if variance > _CANCELS * mean_square:
        return math.sqrt(variance)
    return norm(rows - mean) / math.sqrt(rows.numel())


def mean_cosine(rows: Tensor, norms: Tensor) -> float | None:
    """Over all pairs of different rows, from the length of the sum of unit vectors."""
    samples = len(rows)
    if samples < 2 or float(norms.min()) == 0:
        return None
    total = _norm64(norms.reciprocal() @ rows) ** 2
    return (total - samples) / (samples * (samples - 1))


def effective_rank(rows: Tensor, size: float) -> float:
    """(tr G)²/‖G‖_F² of the Gram matrix G = zzᵀ, tr G = ‖z‖²; the smaller zᵀz has the same [Daneshmand 2020]."""
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    return max((size * size / _norm64(gram)) ** 2, 1.0)


def orthogonality_gap(rank: float, samples: int) -> float:
    """‖G/tr G − 1/m‖_F, whose square is 1/rank − 1/m [Daneshmand 2021]."""
    return math.sqrt(max(1 / rank - 1 / samples, 0.0))


def gradient_size(gradient: Tensor, channels_first: bool) -> GradientSize:
    """Of g in the outputs' shape, units in dimension 1 or in the last."""
    g = at_least_float32(gradient.detach())
    by_unit = g.flatten(2) if channels_first and g.dim() > 2 else g.reshape(-1, g.shape[-1])
    return _of_units(by_unit) or _of_units(by_unit.double()) or NO_GRADIENT


def _of_units(g: Tensor) -> GradientSize | None:
    """Of g (m, units) or (m, units, positions); None where the dtype does not hold the squares, or nothing but 0."""
    squares = (vector_norm(g, dim=2) if g.dim() == 3 else g).square().sum(0)
    size = math.sqrt(float(squares.sum(dtype=torch.float64)))
    if size == 0 or (g.dtype != torch.float64 and not _LEAST < size < _MOST):
        return None
    return GradientSize(size, _dead_fraction(g, squares))


def _dead_fraction(g: Tensor, squares: Tensor) -> float:
    """Squares that sum to 0 may have underflown, so that there the values themselves are asked."""
    if float(squares.min()) > 0:
        return 0.0
    silent = squares == 0
    reached = (g[:, silent] != 0).any(0).reshape(int(silent.sum()), -1).any(1)
    return (int(silent.sum()) - int(reached.sum())) / len(silent)
