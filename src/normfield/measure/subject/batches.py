"""Reading what is measured on: one batch, several, or a loader that is read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.subject.forms import items, same_generators
from normfield.samples import Samples, count, like, read_samples, size_in_bytes, split_targets

BYTES_KEPT = 2 * 2**30
"""The most that is kept of a loader, in bytes."""


@dataclass(frozen=True)
class Batch:
    """Samples that share their batch-norm statistics: inputs (m, …) and targets (m, …), each nested at will."""

    inputs: Samples
    targets: Samples

    @property
    def samples(self) -> int:
        """m, the length of the first dimension."""
        return count(self.inputs)

    @property
    def bytes(self) -> int:
        """The memory of all tensors."""
        return size_in_bytes(self.inputs) + size_in_bytes(self.targets)

    def like(self, parameter: Tensor) -> Batch:
        """The batch on the parameter's device, floating-point values in its dtype."""
        return Batch(like(self.inputs, parameter), like(self.targets, parameter))


@dataclass(frozen=True)
class Batches:
    """What was read, how many samples of a short last batch were left out, and the size of ghost batches."""

    items: tuple[Batch, ...]
    dropped_samples: int = 0
    ghost_batch_size: int | None = None

    @property
    def samples(self) -> int:
        """All samples kept."""
        return sum(batch.samples for batch in self.items)


def _batch(item: Any, place: str) -> Batch:
    inputs, targets = split_targets(item, place)
    batch = Batch(read_samples(inputs, "inputs"), read_samples(targets, "targets"))
    if batch.samples != count(batch.targets):
        raise InvalidInput(
            expected=f"as many targets as inputs in {place}",
            got=f"{count(batch.targets)} for {batch.samples}",
        )
    if batch.samples == 0:
        raise InvalidInput(expected="at least one sample in every batch", got=f"an empty {place}")
    return batch


def _one_by_one(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches; what their source raises becomes one line."""
    number = 1
    try:
        for number, item in enumerate(batches, start=2):  # noqa: B007 - the number of the one asked for next
            yield item
    except (InvalidInput, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise InvalidInput(
            expected="batches that can be read", got=f"{type(error).__name__} at batch {number}: {error}"
        ) from error


def _read(batches: Iterable[Any], limit: int) -> list[Batch]:
    kept: list[Batch] = []
    used = 0
    for number, item in enumerate(_one_by_one(batches), start=1):
        kept.append(_batch(item, f"batch {number}"))
        used += kept[-1].bytes
        if used > limit:
            raise InvalidInput(
                expected=f"batches of at most {limit / 2**20:.0f} MiB in all",
                got=f"more by batch {number}",
                instead="take some of them, for example list(itertools.islice(loader, 10))",
            )
    return kept


def _why_none(batches: Any) -> str:
    """What may have left nothing to read."""
    if isinstance(batches, Iterator):
        return "a generator can be read only once, so make a new one"
    return "there is no batch in it, so put one in"


def _check_ghost_size(size: int | None) -> None:
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 2):
        raise InvalidInput(
            expected="ghost_batch_size as a whole number of at least 2",
            got=repr(size),
            instead="leave it out for the statistics of whole batches",
        )


def _check_divides(size: int, batches: list[Batch]) -> None:
    for number, batch in enumerate(batches, start=1):
        if batch.samples % size:
            raise InvalidInput(
                expected="a ghost_batch_size that divides every batch",
                got=f"{size} for the {batch.samples} samples of batch {number}",
                instead="change either, so that no group is short",
            )


def read_batches(batches: Any, limit: int = BYTES_KEPT, ghost_batch_size: int | None = None) -> Batches:
    """Read batches once, check them, and drop a last one that is shorter than the first.

    Parameters
    ----------
    batches : pair, iterable of pairs, or DataLoader
        Pairs (inputs, targets), or mappings with targets in them, of tensors or arrays whose first dimension counts
        samples, nested in tuples, lists and dicts. How one pair is told apart from two batches: see
        `normfield.measure.subject.forms`.
    limit : int
        The most bytes to keep.
    ghost_batch_size : int, optional
        Samples that share batch-norm statistics; it must divide every batch that is kept.

    Raises
    ------
    InvalidInput
        No batch, an empty one, NaN or infinite values, lengths that differ, too many bytes, another form, a source
        that raises, a ghost batch size that does not fit.
    """
    _check_ghost_size(ghost_batch_size)
    with same_generators(batches):
        kept = _read(items(batches), limit)
    if not kept:
        raise InvalidInput(expected="at least one batch", got="none", instead=_why_none(batches))
    dropped = kept.pop().samples if len(kept) > 1 and kept[-1].samples < kept[0].samples else 0
    if ghost_batch_size is not None:
        _check_divides(ghost_batch_size, kept)
    return Batches(tuple(kept), dropped, ghost_batch_size)
