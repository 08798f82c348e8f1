"""What a sweep runs: trials at points, by a task that knows how; the sweep itself knows no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Cell = str | int | float | bool | None
Point = Mapping[str, Cell]
"""One value for each axis, by the axis's name."""


@dataclass(frozen=True)
class Resources:
    """What one worker may take: bytes of memory, processor cores, and GPUs, of which a part counts as a fraction."""

    memory: float
    cores: int
    gpus: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a trial gave.

    Attributes
    ----------
    values : mapping of column to cell
        The result columns; empty where the trial failed.
    curves : mapping of name to numbers
        What was recorded on the way, one number for each epoch; missing ones are None.
    error : str or None
        Why the trial failed, in a line; None where it did not. A run that diverged has not failed.
    seconds : float
        Its share of the time that its group took.
    """

    values: Mapping[str, Cell] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0


class Task(Protocol):
    """Trials of one kind. Whatever runs in another process is pickled with all that it holds."""

    @property
    def settings(self) -> Mapping[str, Cell]:
        """What tells this task from another; kept in the store, and compared when a sweep goes on."""
        ...

    def check(self, axes: Sequence[str]) -> None:
        """Refuse axes that mean nothing to this task.

        Raises
        ------
        InvalidInput
            For an unknown axis; the message names those that there are.
        """
        ...

    def key(self, point: Point) -> str:
        """A name for the point that is the same in every process and on every day."""
        ...

    def group(self, points: Sequence[Point]) -> Sequence[Sequence[int]]:
        """Places of the points that one call of `run` can take together; each place is in one group."""
        ...

    def capacity(self, resources: Resources) -> int:
        """How many points one call of `run` may take on such a worker; at least 1."""
        ...

    def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
        """The trials of some points, in their order; the same values for the same points in the same groups.

        A point that fails has its `Outcome.error`, and the others go on.
        """
        ...
