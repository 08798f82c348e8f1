"""Samples in groups, statistics with each group left out in turn, and what that says of bias and error.

[Efron] is Efron and Stein, "The jackknife estimate of variance", Annals of Statistics 9, 1981.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_GROUPS, _SINGLE = 20, 40


@dataclass(frozen=True, eq=False)
class Grouped:
    """Values (rows, units) of one snapshot, and to which group of samples each row belongs."""

    values: np.ndarray
    group: np.ndarray
    groups: int

    @classmethod
    def of(cls, values: np.ndarray) -> Grouped:
        """(samples, positions, units) as rows; up to 40 samples are a group each, more are 20 groups."""
        samples, positions, units = values.shape
        groups = samples if samples <= _SINGLE else _GROUPS
        of_sample = np.arange(samples) * groups // samples
        rows = values.reshape(-1, units).astype(np.float64)
        return cls(rows, np.repeat(of_sample, positions), groups)

    @property
    def sizes(self) -> np.ndarray:
        """Rows of every group."""
        return np.bincount(self.group, minlength=self.groups)

    def sums(self, terms: np.ndarray) -> np.ndarray:
        """(groups, units): terms (rows, units) added up within every group; the rows are in order of their groups."""
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        return np.add.reduceat(terms, starts, axis=0)


def left_out(sums: np.ndarray) -> np.ndarray:
    """(1 + groups, …): the total over all groups, then without each."""
    total = sums.sum(0)
    return np.concatenate([total[None], total - sums])


@dataclass(frozen=True)
class Ways:
    """Which totals of before and after go together: first all samples, then with a group left out.

    Attributes
    ----------
    before, after : tuple of int
        0 for all samples, 1 + j for those without group j.
    blocks : tuple of int
        How many ways leave groups out of the same samples; two blocks where before and after are different samples.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    blocks: tuple[int, ...]

    @classmethod
    def of(cls, before: int, after: int, same_samples: bool) -> Ways:
        """Of the same samples a group is left out of both at once, of others out of one."""
        if same_samples:
            both = tuple(range(1 + before))
            return cls(both, both, (before,))
        return cls(
            (*range(1 + before), *(0,) * after),
            (0,) * (1 + before) + tuple(range(1, 1 + after)),
            (before, after),
        )


@dataclass(frozen=True)
class Jackknifed:
    """A statistic of all samples, the bias it has to first order in 1/samples, and its standard error [Efron]."""

    value: float
    bias: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray, ways: Ways) -> Jackknifed:
        """From the statistic in every way; blocks of one group say nothing, and the error is then NaN."""
        whole, bias, variance, start = float(values[0]), 0.0, 0.0, 1
        for count in ways.blocks:
            without = np.asarray(values[start : start + count])
            start += count
            bias += (count - 1) * (without.mean() - whole)
            variance += (
                (count - 1) / count * ((without - without.mean()) ** 2).sum() if count > 1 else math.nan
            )
        return cls(whole, float(bias), math.sqrt(variance))

    @property
    def corrected(self) -> float:
        """The value without its bias, as far as that is known."""
        return self.value if math.isnan(self.bias) else self.value - self.bias
