"""A boundary over an axis: one bracket for each column and restart, asked and told a wave at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normfield.errors import InvalidInput
from normfield.sweep.boundary import Bracket

_NEAR = 0.9  # of the resolution: a boundary that stays where it is expected is closed by two tries


@dataclass(frozen=True)
class Try:
    """One thing to try: a place x on the line of one column, in one of its restarts."""

    column: int
    restart: int
    x: float


class BoundaryTrace:
    """Brackets of the boundary on x at each of many columns, restarts included, found by asking and telling.

    ``ask`` gives everything that can be tried now, a wave, so that it can be tried together; ``tell`` takes what was
    seen of one of them. The columns at both ends come first, then each in the middle of a gap, which begins where a
    straight line between its two neighbours puts the boundary, with small steps. Other restarts begin at the boundary
    of their column's first. Where a ``guide`` is given, it is the distance from it that is carried to neighbours.

    What is asked and found depends on what was told, not on the order of telling: neighbours count once they are
    closed.

    Parameters
    ----------
    columns
        How many values the axis has, in an order in which neighbours are alike.
    restarts
        How many brackets each column gets.
    resolution, limits
        As of `Bracket`, for every one.
    guide
        A first guess of the boundary at each column, or one for all.
    step
        First step away from the guide, where no neighbour is known.

    Raises
    ------
    InvalidInput
        No column or restart, another number of guesses than columns, and whatever `Bracket` refuses.

    Examples
    --------
    >>> trace = BoundaryTrace(3, restarts=1, resolution=0.25)
    >>> while wave := trace.ask():
    ...     for each in wave:
    ...         trace.tell(each, beyond=each.x > each.column / 2)
    >>> [bracket.estimate for bracket in trace.brackets().values()]
    [0.125, 0.5125, 1.125]
    """

    def __init__(
        self,
        columns: int,
        *,
        restarts: int = 3,
        resolution: float = 0.05,
        guide: float | Sequence[float] = 0.0,
        step: float = 0.5,
        limits: tuple[float, float] = (-12.0, 6.0),
    ) -> None:
        _at_least_one(columns, "column")
        _at_least_one(restarts, "restart")
        self._restarts, self._resolution, self._step, self._limits = restarts, resolution, step, limits
        self._guide = _guesses(guide, columns)
        for guess in self._guide:
            self._bracket(guess, step)
        self._neighbours = _neighbours(columns)
        self._told: dict[tuple[int, int], dict[float, bool]] = {
            (column, restart): {} for column in range(columns) for restart in range(restarts)
        }
        self._given_up: dict[tuple[int, int], str] = {}

    def ask(self) -> tuple[Try, ...]:
        """Everything that can be tried now, the same until one of it is told; empty when nothing is left."""
        asked = {
            place: bracket.ask() for place, bracket in self.brackets().items() if place not in self._given_up
        }
        return tuple(Try(*place, x) for place, x in sorted(asked.items()) if x is not None)

    def tell(self, tried: Try, beyond: bool) -> None:
        """Take what was seen at a place, whether it was asked for or not.

        Raises
        ------
        InvalidInput
            For a column or restart that there is not, or an x that is not finite.
        """
        told = self._told[self._place(tried)]
        if not math.isfinite(tried.x):
            raise InvalidInput(expected="a finite x", got=f"{tried.x}", instead="tell only what was tried")
        told[tried.x] = told.get(tried.x, False) or bool(beyond)

    def give_up(self, tried: Try, why: str) -> None:
        """Ask no more of this column and restart, since what was tried gave no answer.

        Raises
        ------
        InvalidInput
            For a column or restart that there is not.
        """
        place = self._place(tried)
        self._given_up[place] = min(why, self._given_up.get(place, why))

    @property
    def given_up(self) -> Mapping[tuple[int, int], str]:
        """Why, by column and restart."""
        return dict(self._given_up)

    def brackets(self) -> dict[tuple[int, int], Bracket]:
        """The brackets by column and restart, in that order, of those that could begin."""
        begun: dict[tuple[int, int], Bracket] = {}
        for column in self._neighbours:
            start = self._start_of(column, begun)
            if start is None:
                continue
            first = self._told_bracket((column, 0), *start)
            begun[column, 0] = first
            if self._is_closed((column, 0), first):
                again = start if (column, 0) in self._given_up else (self._expected(first), self._small)
                for restart in range(1, self._restarts):
                    begun[column, restart] = self._told_bracket((column, restart), *again)
        return dict(sorted(begun.items()))

    @property
    def _small(self) -> float:
        """First step where the boundary is expected close by."""
        return _NEAR * self._resolution

    def _start_of(self, column: int, begun: Mapping[tuple[int, int], Bracket]) -> tuple[float, float] | None:
        """Where the first bracket of a column begins, and with what step; None while a neighbour is open."""
        neighbours = self._neighbours[column]
        known = {side: begun.get((side, 0)) for side in neighbours}
        if any(known[side] is None or not self._is_closed((side, 0), known[side]) for side in neighbours):
            return None
        brackets = {side: bracket for side, bracket in known.items() if bracket is not None}
        offsets = {
            side: bracket.estimate - self._guide[side]
            for side, bracket in brackets.items()
            if bracket.estimate is not None and (side, 0) not in self._given_up
        }
        if offsets:
            return self._within(self._guide[column] + _between(column, offsets)), self._small
        edges = {
            self._expected(bracket) for side, bracket in brackets.items() if (side, 0) not in self._given_up
        }
        return (edges.pop(), self._small) if len(edges) == 1 else (self._guide[column], self._step)

    def _is_closed(self, place: tuple[int, int], bracket: Bracket | None) -> bool:
        """Whether nothing more will be asked of it."""
        return place in self._given_up or (bracket is not None and bracket.ask() is None)

    def _expected(self, bracket: Bracket) -> float:
        """Where the next one will look: at the boundary, or at the limit that was reached without one."""
        if bracket.estimate is not None:
            return self._within(bracket.estimate)
        return self._limits[0] if bracket.low is None else self._limits[1]

    def _told_bracket(self, place: tuple[int, int], start: float, step: float) -> Bracket:
        bracket = self._bracket(start, step)
        for x, beyond in self._told[place].items():
            bracket.tell(x, beyond)
        return bracket

    def _bracket(self, start: float, step: float) -> Bracket:
        return Bracket(start, resolution=self._resolution, step=step, limits=self._limits)

    def _within(self, x: float) -> float:
        return min(max(x, self._limits[0]), self._limits[1])

    def _place(self, tried: Try) -> tuple[int, int]:
        place = (tried.column, tried.restart)
        if place not in self._told:
            raise InvalidInput(
                expected=f"a column below {len(self._guide)} and a restart below {self._restarts}",
                got=f"column {tried.column}, restart {tried.restart}",
                instead="tell what ask() gave",
            )
        return place


def _neighbours(columns: int) -> dict[int, tuple[int, ...]]:
    """Columns in the order in which they begin, with those that each begins from: none for the ends, two for others."""
    found: dict[int, tuple[int, ...]] = {0: (), columns - 1: ()}
    gaps = deque([(0, columns - 1)])
    while gaps:
        low, high = gaps.popleft()
        middle = (low + high) // 2
        if low < middle < high:
            found[middle] = (low, high)
            gaps += [(low, middle), (middle, high)]
    return found


def _between(column: int, offsets: Mapping[int, float]) -> float:
    """The value at a column on the straight line through those of its two neighbours, or the one that there is."""
    if len(offsets) == 1:
        return next(iter(offsets.values()))
    (low, first), (high, second) = sorted(offsets.items())
    return first + (second - first) * (column - low) / (high - low)


def _guesses(guide: float | Sequence[float], columns: int) -> tuple[float, ...]:
    guesses = tuple(guide) if isinstance(guide, Sequence) else (guide,) * columns
    if len(guesses) != columns:
        raise InvalidInput(
            expected=f"a guide with one guess for each of {columns} columns", got=f"{len(guesses)}"
        )
    return guesses


def _at_least_one(value: int, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(
            expected=f"at least one {what}", got=repr(value), instead=f"give {what}s=1 or more"
        )
