"""What a store hands out: groups to run, trials that have run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from normfield.sweep.task import Cell, Outcome


@dataclass(frozen=True)
class Group:
    """Trials that are run and committed together, fixed when they were added to the store.

    Attributes
    ----------
    number : int
        From 0, in the order in which groups were given.
    keys : tuple of str
        The trials' keys, in the order in which they are run.
    points : tuple of mapping
        Their points, in the same order.
    attempts, failures : int
        How often the group was begun, and how many of these attempts died with an error.
    """

    number: int
    keys: tuple[str, ...]
    points: tuple[Mapping[str, Cell], ...]
    attempts: int = 0
    failures: int = 0

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Trial:
    """A trial that has run: its key, its point, the number of its group, and what it gave."""

    key: str
    point: Mapping[str, Cell]
    group: int
    outcome: Outcome
