"""Members that train together: their rows in the stack, and those that a step takes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from normfield.train.descent import FINISHED, Descent
from normfield.train.ensemble.stack import Stack


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows, whose tensors are views of the group's, and the place of the member in each."""

    stack: Stack
    places: Sequence[int]


@dataclass(eq=False)
class Group:
    """Members that train together.

    Attributes
    ----------
    stack : Stack
        A row for each member that is not yet left out, and, where chunks must be full, some rows more that repeat the
        last.
    places : list of int
        The member in each row.
    descents : list of Descent
        Of all members, by place.
    chunk : int
        Rows that a step takes at once.
    full : bool
        Whether every chunk must have just so many, as a compiled step needs them.
    """

    stack: Stack
    places: list[int]
    descents: list[Descent]
    chunk: int
    full: bool
    chunks: list[Chunk] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._keep_rows(list(range(len(self.places))))

    @property
    def alive(self) -> list[int]:
        """The places of the members that go on."""
        return [k for k in dict.fromkeys(self.places) if self.descents[k].status == FINISHED]

    def row(self, place: int) -> int:
        """The row of the member at a place."""
        return self.places.index(place)

    def read(self, losses: Tensor, divergence_factor: float) -> None:
        """Hand losses, (steps, rows), to the members' descents, of which those that diverged take no more."""
        rows = [self.row(k) for k in self.alive]
        for step in losses.tolist():
            for row in rows:
                descent = self.descents[self.places[row]]
                if descent.status == FINISHED:
                    descent.accepts(step[row], divergence_factor)

    def end(self, places: Sequence[int], status: str) -> None:
        """Give some members a status with which they stop."""
        for k in places:
            self.descents[k].status = status

    def leave_out_ended(self) -> None:
        """Go on without the rows of members that stopped, where that spares a chunk or part of one."""
        alive = self.alive
        if alive and self._rows_for(len(alive)) < len(self.places):
            self._keep_rows([self.row(k) for k in alive])

    def _rows_for(self, members: int) -> int:
        return -(-members // self.chunk) * self.chunk if self.full else members

    def _keep_rows(self, rows: list[int]) -> None:
        """Only these rows, the last repeated as far as it must be."""
        rows = rows + rows[-1:] * (self._rows_for(len(rows)) - len(rows))
        if rows != list(range(len(self.places))):
            chosen = torch.tensor(rows, device=next(iter(self.stack.trained.values())).device)
            self.stack = self.stack.only(chosen)
            self.places = [self.places[row] for row in rows]
        starts = range(0, len(self.places), self.chunk)
        parts = [slice(start, start + self.chunk) for start in starts]
        self.chunks = [Chunk(self.stack.only(part), self.places[part]) for part in parts]
