"""Where short runs begin to diverge, seeds and lengths taken together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from normfield.train.descent import DIVERGED
from normfield.train.run import Run


@dataclass(frozen=True)
class Edge:
    """The lowest rate at which a run diverged, and the highest below it at which none did; None where there is none."""

    low: float | None
    high: float | None

    @property
    def log10(self) -> float | None:
        """Midpoint in log₁₀η; None unless both sides were seen."""
        if self.low is None or self.high is None:
            return None
        return (math.log10(self.low) + math.log10(self.high)) / 2

    @property
    def half_width(self) -> float | None:
        """Half the distance of both in decades."""
        if self.low is None or self.high is None:
            return None
        return (math.log10(self.high) - math.log10(self.low)) / 2

    @property
    def words(self) -> str:
        """η with its error bar, or what is known instead."""
        if self.log10 is not None:
            return f"from η = {10**self.log10:.3g} (log₁₀ {self.log10:+.2f} ± {self.half_width:.2f})"
        if self.low is not None:
            return f"nowhere up to η = {self.low:.3g}, the largest tried"
        return "not known" if self.high is None else f"from below η = {self.high:.3g}, the smallest tried"


def edge_of(runs: Sequence[Run]) -> Edge:
    """The edge of some runs."""
    high = min((run.learning_rate for run in runs if run.status == DIVERGED), default=None)
    below = math.inf if high is None else high
    low = max((run.learning_rate for run in runs if run.learning_rate < below), default=None)
    return Edge(low, high)
