"""Shuffled batches of equal size; a last short one is dropped and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import torch

from normfield import samples
from normfield.data.checks import check_count
from normfield.errors import InvalidInput
from normfield.samples import Samples
from normfield.seeds import whole_seed

Pair = tuple[Samples, Samples]


@dataclass(frozen=True, eq=False, repr=False)
class Batches(Sequence[Pair]):
    """A sequence of batches (inputs, targets), each taken from the data when asked for.

    Parameters
    ----------
    inputs, targets : Samples
        The data: tensors whose first dimension counts the samples, or tuples or dicts of such.
    order : torch.Tensor
        Indices of the samples used, int64, shape (batches * batch_size,).
    batch_size : int
        Samples in every batch.
    dropped : int
        Samples left out because they did not fill a batch.
    """

    inputs: Samples
    targets: Samples
    order: torch.Tensor
    batch_size: int
    dropped: int

    def __len__(self) -> int:
        return len(self.order) // self.batch_size

    @overload
    def __getitem__(self, index: int) -> Pair: ...

    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...

    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]  # a tuple of two could be one pair
        start = range(0, len(self.order), self.batch_size)[index]
        chosen = self.order[start : start + self.batch_size]
        return taken(self.inputs, chosen), taken(self.targets, chosen)

    def __str__(self) -> str:
        return f"{len(self):,} batches of {self.batch_size:,} samples, {self.dropped:,} samples dropped"

    def __repr__(self) -> str:
        return f"Batches({self})"


def taken(values: Samples, chosen: torch.Tensor | slice) -> Samples:
    """Return the samples that an index or a slice chooses, in every part."""
    return samples.mapped(values, lambda tensor: tensor[chosen])


def shuffled_order(count: int, seed: int | torch.Generator) -> torch.Tensor:
    """Return the numbers 0 … count - 1 in an order drawn from `seed` alone."""
    if not isinstance(seed, torch.Generator):
        seed = torch.Generator().manual_seed(whole_seed(seed))
    return torch.randperm(count, generator=seed, device=seed.device)


def shuffled_batches(
    inputs: Samples, targets: Samples, batch_size: int, seed: int | torch.Generator
) -> Batches:
    """Cut the data into shuffled batches of `batch_size`, dropping a last short one."""
    check_count(batch_size, "batch_size")
    count = samples.count(inputs)
    if batch_size > count:
        raise InvalidInput(
            expected=f"batch_size of at most {count:,}, the number of samples",
            got=f"{batch_size:,}",
            instead="give a smaller batch_size or more samples",
        )
    dropped = count % batch_size
    device = next(samples.leaves(inputs)).device
    order = shuffled_order(count, seed).to(device)[: count - dropped]
    return Batches(inputs, targets, order, batch_size, dropped)
