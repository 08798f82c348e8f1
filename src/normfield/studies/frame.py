"""What a study is: a paper's claim, the table that tests it, the figures it draws, and the verdict it allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from normfield.errors import InvalidInput
from normfield.report import Figure, Table
from normfield.studies.verdicts import Verdict

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]
Rows = Sequence[Row]
Progress = Callable[[str], object]
S = TypeVar("S")

SIZES = ("smoke", "small", "paper")


@dataclass(frozen=True)
class Size(Generic[S]):
    """How much of a study is computed.

    Attributes
    ----------
    words
        What is computed at this size.
    cost
        How long it takes, on what.
    settings
        The study's own numbers.
    """

    words: str
    cost: str
    settings: S


@dataclass(frozen=True)
class Study(Generic[S]):
    """A claim of a paper, and how it is tested.

    The table has one row for each point; a point is the part of a row that is known beforehand, and names it.

    Attributes
    ----------
    name, title
        As on the command line, and as a question or a sentence.
    citation, link
        The paper with figure or equation, and where it is.
    claim
        One sentence: what the paper claims.
    background
        What a newcomer must know to read the claim.
    setting
        What is held fixed at every size.
    differences
        How this differs from what the paper did, and what it leaves out.
    sizes
        "smoke" (seconds), "small" (minutes on 2 cores), "paper" (all of it).
    points
        (settings, seed) → the points, in order.
    measure
        (settings, point) → the rest of the point's row; the same for the same point.
    draw
        Table → figures, the leading one first.
    tabulate
        Table → the same for reading.
    verdict
        Table → verdict.
    """

    name: str
    title: str
    citation: str
    link: str
    claim: str
    background: str
    setting: str
    differences: tuple[str, ...]
    sizes: Mapping[str, Size[S]]
    points: Callable[[S, int], Rows]
    measure: Callable[[S, Row], Row]
    draw: Callable[[Rows], tuple[Figure, ...]]
    tabulate: Callable[[Rows], Table]
    verdict: Callable[[Rows], Verdict]

    def size(self, name: str) -> Size[S]:
        """The size of that name.

        Raises
        ------
        InvalidInput
            There is none.
        """
        if name not in self.sizes:
            raise InvalidInput(
                expected=f"size {', '.join(self.sizes)}", got=repr(name), instead="smoke takes seconds"
            )
        return self.sizes[name]

    def settings(self, size: str, seed: int = 0) -> S:
        """The settings of a size, both checked.

        Raises
        ------
        InvalidInput
            No such size, or the seed is not a whole number from 0 to 2³¹ − 1.
        """
        _check_seed(seed)
        return self.size(size).settings

    def compute(
        self, size: str = "smoke", seed: int = 0, *, done: Rows = (), progress: Progress | None = None
    ) -> Iterator[Row]:
        """The rows of the table that are not ``done`` yet, one by one as they are finished.

        Raises
        ------
        InvalidInput
            No such size, or the seed is not a whole number from 0 to 2³¹ − 1.
        """
        settings = self.settings(size, seed)
        points = self.points(settings, seed)
        known = [dict(row) for row in done]
        for number, point in enumerate(points, start=1):
            if any(dict(point).items() <= row.items() for row in known):
                continue
            if progress is not None:
                progress(f"{self.name}, {size}: row {number} of {len(points)} ({point_words(point)})")
            yield {**point, **self.measure(settings, point)}

    def in_order(self, rows: Rows, size: str, seed: int) -> tuple[Row, ...]:
        """The rows in the order of the study's points, those of other points left out."""
        points = self.points(self.size(size).settings, seed)
        return tuple(row for point in points for row in rows if dict(point).items() <= dict(row).items())

    def __str__(self) -> str:
        return f"{self.name}: {self.title} [{self.citation}]"

    def __repr__(self) -> str:
        return f"Study({self.name!r})"


def point_words(point: Row) -> str:
    """A point in words: its values, the columns named where a number stands."""
    return ", ".join(
        str(value) if isinstance(value, str) else f"{column} {value}" for column, value in point.items()
    )


def _check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise InvalidInput(expected="seed as a whole number from 0 to 2³¹ − 1", got=repr(seed))
