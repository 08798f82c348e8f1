"""Do weights look independent, of zero mean and one variance? Tests, each with its probability if they are.

The statistics are compared with their distribution for independent entries (normal, uniform or cut-off normal):
sums of squares by a gamma distribution of the same mean and variance, kurtosis by [Anscombe and Glynn 1983],
angles between rows by [Schott 2005].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammainc, gammaincc, ndtr, stdtr

from normfield.nets.moments import Moments

_FEWEST = 50  # entries below which nothing is tested
_ENTRIES = 100_000  # entries of which the kurtosis is tested
_ROWS, _COLUMNS = 512, 4096  # rows and columns whose angles are tested


@dataclass(frozen=True)
class Doubt:
    """What speaks against independent weights, with its probability if they were."""

    probability: float
    words: str


def doubts(weight: torch.Tensor, seen: Moments) -> list[Doubt]:
    """One doubt for each test that such a weight allows, however weak."""
    if seen.count < _FEWEST or seen.power[0] == 0:
        return []
    found = [_mean(seen), *_tails(weight, seen)]
    if seen.kurtosis > 1.2:
        found += [
            _spread(seen.rows, seen.fan_in, seen, "units (rows)"),
            _spread(seen.columns, seen.units, seen, "inputs (columns)"),
        ]
    return found + _angles(weight)


def mean_doubt(values: np.ndarray) -> list[Doubt]:
    """Whether biases have zero mean."""
    if len(values) < 2 or not np.any(values):
        return []
    deviation = values.std(ddof=1)
    t = math.inf if deviation == 0 else values.mean() / deviation * math.sqrt(len(values))
    return [Doubt(float(2 * stdtr(len(values) - 1, -abs(t))), f"biases have mean {values.mean():.3g}, not 0")]


def _mean(seen: Moments) -> Doubt:
    z = seen.mean / math.sqrt(seen.power[0] / seen.count)
    words = f"weights have mean {seen.mean:.3g} ({abs(z):.0f} standard errors from 0)"
    return Doubt(float(2 * ndtr(-abs(z))), words)


def _tails(weight: torch.Tensor, seen: Moments) -> list[Doubt]:
    """Kurtosis above that of a normal or below that of a uniform distribution."""
    flat = weight.detach().reshape(-1)
    sample = flat[:: max(1, len(flat) // _ENTRIES)].to("cpu", torch.float64).numpy()
    kurtosis = float(np.mean(sample**4) / np.mean(sample**2) ** 2)
    above = float(ndtr(-normal_score(kurtosis, len(sample))))
    # The delta method gives Var κ = 1.317/n for uniform entries, whose κ is 1.8.
    below = float(ndtr((kurtosis - 1.8) / math.sqrt(1.317 / len(sample))))
    return [
        Doubt(above, f"weights have heavy tails (kurtosis {kurtosis:.2f}, normal 3)"),
        Doubt(
            below,
            f"weights have fewer values near 0 than uniform ones (kurtosis {kurtosis:.2f}, uniform 1.8)",
        ),
    ]


def normal_score(kurtosis: float, n: int) -> float:
    """The sample kurtosis of n normal numbers as a standard normal one [Anscombe and Glynn 1983]."""
    spread = math.sqrt(24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5)))
    x = (kurtosis - 3 * (n - 1) / (n + 1)) / spread
    skew = (
        6
        * (n * n - 5 * n + 2)
        / ((n + 7) * (n + 9))
        * math.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    )
    a = 6 + 8 / skew * (2 / skew + math.sqrt(1 + 4 / skew**2))
    below = 1 + x * math.sqrt(2 / (a - 4))
    root = math.copysign((1 - 2 / a) / abs(below), below)
    return (1 - 2 / (9 * a) - float(np.cbrt(root))) / math.sqrt(2 / (9 * a))


def _spread(sums: np.ndarray, terms: int, seen: Moments, of: str) -> Doubt:
    """Whether the norms of rows (or columns) spread as sums of ``terms`` independent squares do."""
    second, fourth, sixth, eighth = seen.power
    variance = fourth - second**2
    fourth_central = eighth - 4 * sixth * second + 6 * fourth * second**2 - 3 * second**4
    excess = max((fourth_central / variance**2 - 3) / terms, -1.9)
    freedom = len(sums) - 1
    if freedom < 1:
        return Doubt(1.0, "")
    statistic = float(np.sum((sums - terms * second) ** 2) / (terms * variance))
    shape, scale = freedom / (2 + excess), 2 + excess
    low, high = gammainc(shape, statistic / scale), gammaincc(shape, statistic / scale)
    seen_spread = float(np.std(sums) / np.mean(sums))
    expected = math.sqrt(variance / terms) / second
    how = "spread more" if high < low else "are more equal"
    words = f"squared norms of its {of} {how} than independent weights' ({seen_spread:.2g} against {expected:.2g})"
    return Doubt(float(2 * min(low, high)), words)


def _angles(weight: torch.Tensor) -> list[Doubt]:
    """Whether rows (columns, where they are fewer) are as nearly orthogonal as independent ones."""
    matrix = weight.detach().reshape(weight.shape[0], -1)
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    block = matrix[:_ROWS, :_COLUMNS].to("cpu", torch.float64)
    rows, terms = block.shape
    norms = block.norm(dim=1, keepdim=True)
    if rows < 2 or terms < 8 or bool((norms == 0).any()):
        return []
    cosines = (block / norms) @ (block / norms).T
    pairs = rows * (rows - 1) / 2
    statistic = float(cosines.square().triu(1).sum()) * terms / pairs
    variance = 2 * (terms - 1) / (terms + 2) / pairs
    low, high = (tail(1 / variance, statistic / variance) for tail in (gammainc, gammaincc))
    words = f"its units are correlated as training makes them (squared cosines {statistic:.3g} times independent ones')"
    if low < high:
        words = "its units are orthogonal to one another, as orthogonal initialisation makes them"
    return [Doubt(float(2 * min(low, high)), words)]
