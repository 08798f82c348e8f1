"""The bracket of a boundary on a line, asked and told: the one piece of bracketing code."""

from __future__ import annotations

import math

from normfield.errors import InvalidInput


class Bracket:
    """Bracket of the boundary on x between "below" and "beyond", found by asking and telling.

    ``ask`` gives the next x to try, ``tell`` takes what was seen there. The search begins at ``start``, moves away
    from it (each step twice the one before) until both sides were seen, then halves until
    ``high − low <= resolution``. For a learning rate, x = log₁₀η.

    The bracket is always ``high``, the lowest x seen beyond, and ``low``, the highest x seen below that lies beneath
    it. What was seen above ``high`` never moves it: where the sides do not part cleanly the answer is the onset, and
    ``reversals`` counts the x above it that were seen below. The order of telling does not matter. An x told twice
    with different results counts as beyond.

    Parameters
    ----------
    start
        First x to ask, within ``limits``.
    resolution
        Width of the bracket at which the search is done.
    step
        First step away from ``start``.
    limits
        Lowest and highest x that are ever asked.

    Raises
    ------
    InvalidInput
        For a start outside the limits, limits out of order, or a resolution or step that is not positive.

    Examples
    --------
    >>> bracket = Bracket(0.0, resolution=0.25)
    >>> while (x := bracket.ask()) is not None:
    ...     bracket.tell(x, beyond=x > 0.7)
    >>> bracket.low, bracket.high, bracket.status
    (0.5, 0.75, 'bracketed')
    """

    def __init__(
        self,
        start: float,
        *,
        resolution: float = 0.05,
        step: float = 0.5,
        limits: tuple[float, float] = (-12.0, 6.0),
    ) -> None:
        _check(start, resolution, step, limits)
        self._start, self._resolution, self._step, self._limits = start, resolution, step, limits
        self._seen: dict[float, bool] = {}

    def tell(self, x: float, beyond: bool) -> None:
        """Take what was seen at x, whether it was asked for or not.

        Raises
        ------
        InvalidInput
            For an x that is not finite.
        """
        if not math.isfinite(x):
            raise InvalidInput(expected="a finite x", got=f"{x}", instead="tell only what was tried")
        self._seen[x] = self._seen.get(x, False) or bool(beyond)

    def ask(self) -> float | None:
        """Next x to try, the same one until it is told; None when nothing is left to ask."""
        low, high = self.low, self.high
        if high is None:
            return self._start if low is None or low < self._start else self._above(low)
        if low is None:
            return self._start if self._start < high else self._beneath(high)
        return self._between(low, high)

    @property
    def high(self) -> float | None:
        """Lowest x seen beyond the boundary."""
        return min((x for x, beyond in self._seen.items() if beyond), default=None)

    @property
    def low(self) -> float | None:
        """Highest x seen below the boundary, among those beneath ``high``."""
        high = math.inf if self.high is None else self.high
        return max((x for x, beyond in self._seen.items() if not beyond and x < high), default=None)

    @property
    def reversals(self) -> int:
        """How many x above ``high`` were seen below all the same."""
        high = math.inf if self.high is None else self.high
        return sum(not beyond and x > high for x, beyond in self._seen.items())

    @property
    def status(self) -> str:
        """One of "open", "bracketed", "not bracketed: ..." with what was seen instead."""
        if self.ask() is not None:
            return "open"
        if self.low is None:
            return f"not bracketed: already beyond at x = {self.high:g}, with a lower limit of {self._limits[0]:g}"
        if self.high is None:
            return (
                f"not bracketed: still below at x = {self.low:g}, with an upper limit of {self._limits[1]:g}"
            )
        return "bracketed"

    @property
    def estimate(self) -> float | None:
        """Midpoint of ``low`` and ``high``; None until both are seen."""
        return None if self.low is None or self.high is None else (self.low + self.high) / 2

    @property
    def half_width(self) -> float | None:
        """Half of ``high − low``; None until both are seen."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    def _above(self, low: float) -> float | None:
        """A step up from the highest x seen, twice the step that led there."""
        x = min(low + self._reach(low), self._limits[1])
        return x if x > low else None

    def _beneath(self, high: float) -> float | None:
        """The same step down from the lowest x seen beyond."""
        x = max(high - self._reach(high), self._limits[0])
        return x if x < high else None

    def _reach(self, edge: float) -> float:
        """First step plus the way from the start to the edge, which makes every step twice the last."""
        return self._step + abs(edge - self._start)

    def _between(self, low: float, high: float) -> float | None:
        """The start, a step away from it or the midpoint, whichever is nearest to it; None where that is enough."""
        if high - low <= self._resolution:
            return None
        if low < self._start < high:
            return self._start
        middle = max(min((low + high) / 2, low + self._reach(low)), high - self._reach(high))
        return middle if low < middle < high else None


def _check(start: float, resolution: float, step: float, limits: tuple[float, float]) -> None:
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidInput(
            expected="finite limits (low, high), low < high", got=f"{limits}", instead="order them"
        )
    if not low <= start <= high:
        raise InvalidInput(
            expected=f"a start between {low:g} and {high:g}", got=f"{start:g}", instead="widen limits"
        )
    for name, value in (("resolution", resolution), ("step", step)):
        if not 0 < value < math.inf:
            raise InvalidInput(expected=f"a positive {name}", got=f"{value:g}", instead=f"try {name}=0.1")
