"""Where one restart's boundary lies, and what several restarts say together."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from normfield.sweep import Bracket

BRACKETED = "bracketed"


@dataclass(frozen=True)
class Boundary:
    """The bracket of one restart by one criterion.

    Parameters
    ----------
    seed
        Of the restart: initial weights and data order.
    criterion
        "diverged", or "worse": ended with a higher loss than it began.
    low, high
        The largest η seen below the boundary and the smallest seen beyond it; None where none was.
    status
        "bracketed", "open" (the search was stopped) or "not bracketed: ..." with the side that was never seen.
    reversals
        How many η above ``high`` were below by the criterion all the same.
    """

    seed: int
    criterion: str
    low: float | None
    high: float | None
    status: str
    reversals: int

    @property
    def log10(self) -> float | None:
        """Midpoint of the closed bracket in log₁₀η."""
        if self.status != BRACKETED or self.low is None or self.high is None:
            return None
        return (math.log10(self.low) + math.log10(self.high)) / 2

    @property
    def half_width(self) -> float | None:
        """Half the width of the closed bracket in decades."""
        if self.status != BRACKETED or self.low is None or self.high is None:
            return None
        return (math.log10(self.high) - math.log10(self.low)) / 2


def boundary_of(bracket: Bracket, seed: int, criterion: str) -> Boundary:
    """What a bracket on log₁₀η says, in η."""
    low, high = (None if x is None else 10.0**x for x in (bracket.low, bracket.high))
    return Boundary(seed, criterion, low, high, bracket.status.replace("x =", "log₁₀η ="), bracket.reversals)


@dataclass(frozen=True)
class Summary:
    """The boundaries of all restarts by one criterion, taken together.

    Parameters
    ----------
    log10
        Mean over the closed brackets of log₁₀η at the boundary; None without any.
    spread
        Standard deviation over restarts in decades; None with fewer than two.
    half_width
        Mean half-width of the brackets in decades.
    status
        "bracketed", or how many restarts were not and why.
    """

    log10: float | None
    spread: float | None
    half_width: float | None
    status: str

    @property
    def value(self) -> float | None:
        """η at the boundary: the geometric mean over restarts."""
        return None if self.log10 is None else 10.0**self.log10


def summarise(boundaries: tuple[Boundary, ...], restarts: int) -> Summary:
    """Mean, spread and status of boundaries of one criterion, some of which may be missing or open."""
    centres = [boundary.log10 for boundary in boundaries if boundary.log10 is not None]
    widths = [boundary.half_width for boundary in boundaries if boundary.half_width is not None]
    return Summary(
        log10=statistics.fmean(centres) if centres else None,
        spread=statistics.stdev(centres) if len(centres) > 1 else None,
        half_width=statistics.fmean(widths) if widths else None,
        status=_status(boundaries, len(centres), restarts),
    )


def _status(boundaries: tuple[Boundary, ...], closed: int, restarts: int) -> str:
    if closed == restarts:
        return BRACKETED
    reasons = [boundary.status for boundary in boundaries if boundary.status.startswith("not bracketed")]
    reason = reasons[0].removeprefix("not bracketed: ") if reasons else "the search was stopped before"
    if closed == 0:
        return f"not bracketed: {reason}"
    return f"bracketed in {closed} of {restarts} restarts; otherwise {reason}"
