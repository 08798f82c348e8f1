"""The learning rates that work: those whose runs need hardly more steps than the best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_FACTOR = 10.0


@dataclass(frozen=True)
class Plateau:
    """A stretch of learning rates around the best.

    Attributes
    ----------
    low, high
        Its first and last learning rate; NaN where no run reached the tolerance.
    best, steps
        The learning rate that reached the tolerance first, and after how many steps.
    factor
        Up to how many times ``steps`` the others needed.
    ends_open
        Whether the lowest, and whether the highest learning rate that was tried still belongs to it.
    """

    low: float
    high: float
    best: float
    steps: float
    factor: float
    ends_open: tuple[bool, bool]

    @property
    def decades(self) -> float:
        """log₁₀(high/low)."""
        return math.log10(self.high / self.low) if self.low > 0 else math.nan

    def __str__(self) -> str:
        if math.isnan(self.best):
            return "no learning rate reached the tolerance"
        return (
            f"learning rates from {self.low:.3g} to {self.high:.3g} ({self.decades:.1f} decades) need at most "
            f"{self.factor:g} times the {self.steps:g} steps of the best, {self.best:.3g}"
        )


def plateau(learning_rates: np.ndarray, steps_needed: np.ndarray, factor: float = _FACTOR) -> Plateau:
    """The stretch around the best of rising learning rates (n,); steps needed are infinite where none sufficed."""
    best = int(np.argmin(steps_needed))
    if not np.isfinite(steps_needed[best]):
        return Plateau(math.nan, math.nan, math.nan, math.nan, factor, (False, False))
    works = steps_needed <= factor * max(steps_needed[best], 1)
    fails = np.flatnonzero(~works)
    low = int(max((i + 1 for i in fails if i < best), default=0))
    high = int(min((i - 1 for i in fails if i > best), default=len(works) - 1))
    return Plateau(
        low=float(learning_rates[low]),
        high=float(learning_rates[high]),
        best=float(learning_rates[best]),
        steps=float(steps_needed[best]),
        factor=factor,
        ends_open=(low == 0, high == len(works) - 1),
    )
