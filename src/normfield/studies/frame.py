"""What a study is: a paper's claim, the table that tests it, the figures it draws, and the verdict it allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

    The table has one row for each point; a point is the part of a row that is known beforehand, and names it. Points
    are measured in groups, a group being what is kept and gone on from; see `normfield.studies.groups`.

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
    groups
        Points → those that are measured together, each point in one group.
    measure
        (settings, group) → the rest of each of its points' rows; the same for the same group.
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
    groups: Callable[[Rows], Sequence[Rows]]
    measure: Callable[[S, Rows], Sequence[Row]]
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
    ) -> Iterator[Rows]:
        """The rows of the table that are not ``done`` yet, group by group as they are finished.

        A group of which some rows are done is measured again as a whole, and gives the others.

        Raises
        ------
        InvalidInput
            No such size, or the seed is not a whole number from 0 to 2³¹ − 1.
        """
        settings = self.settings(size, seed)
        points = self.points(settings, seed)
        known, first = _by_point(done, points), 1
        for group in self.groups(points):
            left = [_cells(point, points[0]) not in known for point in group]
            if any(left):
                if progress is not None:
                    progress(f"{self.name}, {size}: {_rows_words(first, group, len(points))}")
                rest = self.measure(settings, group)
                rows = [{**point, **row} for point, row in zip(group, rest, strict=True)]
                yield [row for row, is_left in zip(rows, left, strict=True) if is_left]
            first += len(group)

    def in_order(self, rows: Rows, size: str, seed: int) -> tuple[Row, ...]:
        """The rows in the order of the study's points, those of other points left out."""
        points = self.points(self.size(size).settings, seed)
        found = _by_point(rows, points)
        keys = [_cells(point, points[0]) for point in points]
        return tuple(found[key] for key in keys if key in found)

    def __str__(self) -> str:
        return f"{self.name}: {self.title} [{self.citation}]"

    def __repr__(self) -> str:
        return f"Study({self.name!r})"


def _by_point(rows: Rows, points: Rows) -> dict[tuple[Cell, ...], Row]:
    """Rows by the cells that name them."""
    return {_cells(row, points[0]): row for row in rows}


def _cells(row: Row, names: Iterable[str]) -> tuple[Cell, ...]:
    return tuple(row.get(name) for name in names)


def point_words(point: Row) -> str:
    """A point in words: its values, the columns named where a number stands."""
    return ", ".join(
        str(value) if isinstance(value, str) else f"{column} {value}" for column, value in point.items()
    )


def _rows_words(first: int, group: Rows, total: int) -> str:
    """Which rows a group is, counted from 1, and what its points share."""
    if len(group) == 1:
        return f"row {first} of {total} ({point_words(group[0])})"
    shared = {name: value for name, value in group[0].items() if all(row[name] == value for row in group)}
    words = f" ({point_words(shared)})" if shared else ""
    return f"rows {first} to {first + len(group) - 1} of {total}{words}"


def _check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise InvalidInput(expected="seed as a whole number from 0 to 2³¹ − 1", got=repr(seed))
