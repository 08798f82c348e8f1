"""How far vectors scatter, from two readings of them, with jackknife errors.

Of n independent vectors g_i with mean ḡ, d_i = ‖g_i − ḡ‖² and p_i = ⟨ḡ, g_i − ḡ⟩:

- S = Σ d_i/(n − 1) estimates tr Cov(g) without bias;
- ‖ḡ‖² − S/n estimates ‖E g‖² without bias.

Without g_i, S and ‖ḡ‖² are (Σd − n/(n−1)·d_i)/(n − 2) and ‖ḡ‖² − 2p_i/(n−1) + d_i/(n−1)²: the jackknife's errors need
no third reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.noise.draws import Rows
from normfield.measure.subject.objective import ENTRIES_TOGETHER


@dataclass(frozen=True)
class Estimated:
    """A value and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True, eq=False)
class Scatter:
    """What n vectors say of their law.

    Attributes
    ----------
    trace : Estimated
        tr Cov(g).
    squared_mean : Estimated
        ‖E g‖², which may come out below 0.
    ratio : Estimated
        ‖E g‖²/tr Cov(g); NaN where nothing scatters.
    count : int
        n.
    """

    trace: Estimated
    squared_mean: Estimated
    ratio: Estimated
    count: int


def _columns(some: Tensor, whole: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Vectors (k, P) beside one (P,), some entries at a time, so that float64 copies of them are small."""
    together = max(1, ENTRIES_TOGETHER // len(some))
    return zip(some.split(together, 1), whole.split(together), strict=True)


def _mean(rows: Rows, size: int) -> tuple[Tensor, int]:
    """ḡ (P,) in float64, and n."""
    total, count = None, 0
    for some in rows():
        total = torch.zeros(size, dtype=torch.float64, device=some.device) if total is None else total
        for part, place in _columns(some, total):
            place += part.sum(0, dtype=torch.float64)
        count += len(some)
    if total is None or not bool(torch.isfinite(total).all()):
        raise InvalidInput(
            expected="finite gradients of every batch",
            got="NaN or infinite values in one",
            instead="check the loss at outputs of this size",
        )
    return total.div_(count), count


def _spread_of(some: Tensor, mean: Tensor) -> Tensor:
    """d and p (2, k) of a few vectors (k, P)."""
    found = torch.zeros(2, len(some), dtype=torch.float64, device=some.device)
    for part, centre in _columns(some, mean):
        centred = part.double() - centre
        found += torch.stack([centred.square().sum(1), centred @ centre])
    return found


def _spread(rows: Rows, mean: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """d and p of every vector."""
    d, p = torch.cat([_spread_of(some, mean) for some in rows()], 1).cpu().numpy()
    return d, p


def _jackknife(value: float, without: np.ndarray) -> Estimated:
    """A value with the standard error that the values without one draw each give it."""
    count = len(without)
    return Estimated(value, math.sqrt((count - 1) / count * float(np.square(without - without.mean()).sum())))


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.full(len(over), math.nan), where=under > 0)


def scatter(rows: Rows, size: int) -> Scatter:
    """Estimate scatter and mean of vectors of a size P; they are read twice.

    Raises
    ------
    InvalidInput
        A vector that is not finite.
    """
    mean, n = _mean(rows, size)
    d, p = _spread(rows, mean)
    length, total = float(mean @ mean), float(d.sum())
    # The first entry is the estimate from all vectors; the others lack one vector each.
    count = np.append(n, np.full(n, n - 1))
    lengths = np.append(length, length - 2 * p / (n - 1) + d / (n - 1) ** 2)
    trace = np.append(total, np.maximum(total - n / (n - 1) * d, 0)) / (count - 1)
    squared = lengths - trace / count

    def estimated(values: np.ndarray) -> Estimated:
        return _jackknife(float(values[0]), values[1:])

    return Scatter(estimated(trace), estimated(squared), estimated(_ratio(squared, trace)), n)


def scaled(found: Estimated, change: Callable[[float], float]) -> Estimated:
    """Value and error in another unit."""
    return Estimated(change(found.value), change(found.standard_error))
