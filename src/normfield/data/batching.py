"""Shuffled batches of equal size; a last short one is dropped and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import torch

from normfield.data.checks import check_count, check_seed
from normfield.errors import InvalidInput

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, eq=False, repr=False)
class Batches(Sequence[Pair]):
    """A sequence of batches (inputs, targets), each taken from the data when asked for.

    Parameters
    ----------
    inputs, targets : torch.Tensor
        The data, shapes (samples, ...) and (samples,) or (samples, outputs).
    order : torch.Tensor
        Indices of the samples used, int64, shape (batches * batch_size,).
    batch_size : int
        Samples in every batch.
    dropped : int
        Samples left out because they did not fill a batch.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    order: torch.Tensor
    batch_size: int
    dropped: int

    def __len__(self) -> int:
        return len(self.order) // self.batch_size

    @overload
    def __getitem__(self, index: int) -> Pair: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Pair, ...]: ...

    def __getitem__(self, index: int | slice) -> Pair | tuple[Pair, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(len(self))[index])
        start = range(0, len(self.order), self.batch_size)[index]
        chosen = self.order[start : start + self.batch_size]
        return self.inputs[chosen], self.targets[chosen]

    def __str__(self) -> str:
        return f"{len(self):,} batches of {self.batch_size:,} samples, {self.dropped:,} samples dropped"

    def __repr__(self) -> str:
        return f"Batches({self})"


def shuffled_order(count: int, seed: int | torch.Generator) -> torch.Tensor:
    """Return the numbers 0 … count - 1 in an order drawn from `seed` alone."""
    if not isinstance(seed, torch.Generator):
        check_seed(seed)
        seed = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=seed, device=seed.device)


def shuffled_batches(
    inputs: torch.Tensor, targets: torch.Tensor, batch_size: int, seed: int | torch.Generator
) -> Batches:
    """Cut the data into shuffled batches of `batch_size`, dropping a last short one."""
    check_count(batch_size, "batch_size")
    if batch_size > len(inputs):
        raise InvalidInput(
            expected=f"batch_size of at most {len(inputs):,}, the number of samples",
            got=f"{batch_size:,}",
            instead="give a smaller batch_size or more samples",
        )
    dropped = len(inputs) % batch_size
    order = shuffled_order(len(inputs), seed).to(inputs.device)[: len(inputs) - dropped]
    return Batches(inputs, targets, order, batch_size, dropped)
