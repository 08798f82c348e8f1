"""The boundary at one value of the axis, over its restarts."""

from __future__ import annotations

from dataclasses import dataclass

from normfield.sweep import Cell
from normfield.train.boundaries import Boundary, Summary, summarise


@dataclass(frozen=True)
class BoundaryColumn:
    """Where training diverges at one value of the axis.

    Attributes
    ----------
    at
        The axis's value.
    boundaries
        The bracket of each restart that was begun.
    restarts
        How many there were to be.
    """

    at: Cell
    boundaries: tuple[Boundary, ...]
    restarts: int

    @property
    def summary(self) -> Summary:
        """All restarts taken together."""
        return summarise(self.boundaries, self.restarts)

    @property
    def log10(self) -> float | None:
        """Mean over the closed brackets of log₁₀η at the boundary; None without any."""
        return self.summary.log10

    @property
    def learning_rate(self) -> float | None:
        """10 to the power of ``log10``."""
        return self.summary.value

    @property
    def spread(self) -> float | None:
        """Standard deviation of ``log10`` over restarts in decades; None with fewer than two."""
        return self.summary.spread

    @property
    def half_width(self) -> float | None:
        """Mean half-width of the brackets in decades."""
        return self.summary.half_width

    @property
    def status(self) -> str:
        """ "bracketed", or how many restarts were not and why."""
        return self.summary.status

    @property
    def reversals(self) -> int:
        """How many η above the onset of divergence trained all the same, over all restarts."""
        return sum(boundary.reversals for boundary in self.boundaries)
