"""A torch ``DataLoader`` or ``Dataset``, read once up to a number of bytes, no generator left changed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from normfield.data.dataset import DataSet
from normfield.data.foreign_errors import described
from normfield.data.given import as_floats, as_targets, from_pair, pair_in
from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput

_READ_AT_ONCE = 256  # samples of a Dataset that has no loader

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class ReadLimits:
    """At most how many samples (None: all) and bytes to read, and the seed that global generators get."""

    samples: int | None
    max_bytes: int
    seed: int


def from_dataset(dataset: Dataset[Any], name: str, classes: int | None, limits: ReadLimits) -> DataSet:
    """Read a ``Dataset`` in its own order, as `from_loader` does."""
    return from_loader(DataLoader(dataset, batch_size=_READ_AT_ONCE), name, classes, limits)


def from_loader(loader: DataLoader[Any], name: str, classes: int | None, limits: ReadLimits) -> DataSet:
    """Read a loader once, until it ends or the limits are reached.

    Bytes are counted as kept (float32 inputs, int64 or float32 targets); twice as many are needed while the
    pieces are joined. Global generators start at the seed while it is read and have their old states
    afterwards, as have the loader's own.

    Raises
    ------
    InvalidInput
        The loader raises, gives no samples, or gives something else than pairs of inputs and targets.
    """
    with seeded_random_state(limits.seed, _own_generators(loader)):
        pieces, room_left = _read(loader, limits.samples, limits.max_bytes)
    inputs, targets = _joined(pieces)
    data = from_pair(inputs, targets, name, classes)
    return _with_totals(data, _length(loader), classes, None if room_left else limits.max_bytes)


def _own_generators(loader: DataLoader[Any]) -> list[torch.Generator]:
    """Return the generators that the loader and its samplers hold, each once."""
    sampler, batch_sampler = loader.sampler, loader.batch_sampler
    holders = (loader, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found = (getattr(holder, "generator", None) for holder in holders)
    return list({id(each): each for each in found if isinstance(each, torch.Generator)}.values())


def _read(loader: DataLoader[Any], samples: int | None, max_bytes: int) -> tuple[list[Pair], bool]:
    """Return the pieces kept, and whether all that was wanted fitted in `max_bytes`."""
    pieces: list[Pair] = []
    kept, left = 0, max_bytes
    for inputs, targets in _pairs(loader):
        wanted = len(inputs) if samples is None else min(len(inputs), samples - kept)
        room = min(wanted, left // _sample_bytes(inputs, targets))
        # Copies: a worker's tensors hold a file descriptor each, and a loader may reuse its buffers.
        pieces.append((inputs[:room].clone(), targets[:room].clone()))
        kept, left = kept + room, left - room * _sample_bytes(inputs, targets)
        if room < wanted:
            return pieces, False
        if kept == samples:
            break
    return pieces, True


def _pairs(loader: DataLoader[Any]) -> Iterator[Pair]:
    """Go through the loader's batches as tensors, empty ones left out."""
    for number, item in enumerate(_items(loader)):
        inputs, targets = _pair_of(item, number)
        inputs, targets = as_floats(inputs, "inputs"), as_targets(targets)
        if inputs.ndim == 0 or len(inputs) != len(targets):
            raise InvalidInput(
                expected="as many targets as inputs in every batch",
                got=f"inputs of shape {tuple(inputs.shape)} and targets of shape {tuple(targets.shape)}",
                instead=f"look at batch {number} of the loader",
            )
        if len(inputs):
            yield inputs, targets


def _items(loader: DataLoader[Any]) -> Iterator[Any]:
    """Go through what the loader gives; what its code raises becomes one line."""
    number = 0
    try:
        for item in loader:
            yield item
            number += 1
    except InvalidInput:
        raise
    except Exception as error:
        # Lets go of the loader's iterator now; left to the garbage collector, its workers stop only after 5 s.
        traceback.clear_frames(error.__traceback__)
        raise InvalidInput(
            expected="data that can be read to their end",
            got=f"{described(error)} at batch {number}",
            instead="correct the data set or the loader",
        ) from error


def _pair_of(item: Any, number: int) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        return pair_in(item, f"batch {number}")
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    size = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
    raise InvalidInput(
        expected="batches of (inputs, targets)",
        got=f"{type(item).__name__}{size} in batch {number}",
        instead="let the data set return pairs, or a mapping with inputs and targets",
    )


def _sample_bytes(inputs: torch.Tensor, targets: torch.Tensor) -> int:
    return (inputs.nbytes + targets.nbytes) // len(inputs)


def _joined(pieces: list[Pair]) -> Pair:
    if not pieces:
        raise InvalidInput(expected="data with at least one sample", got="a loader that gives none")
    if sum(len(inputs) for inputs, _ in pieces) == 0:
        raise InvalidInput(
            expected="max_bytes large enough for one sample", got="room for none", instead="raise max_bytes"
        )
    for what, parts in zip(("inputs", "targets"), zip(*pieces, strict=True), strict=True):
        shapes = sorted({(tuple(part.shape[1:]), part.dtype) for part in parts}, key=str)
        if len(shapes) > 1:
            raise InvalidInput(
                expected=f"{what} of one shape and type in all batches",
                got=" and ".join(f"{shape} of {dtype}" for shape, dtype in shapes[:2]),
                instead="bring the samples to one shape and type",
            )
    inputs, targets = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return inputs, targets


def _length(loader: DataLoader[Any]) -> int | None:
    """Return the number of samples of the loader's data set, where it says."""
    try:
        return len(loader.dataset) if isinstance(loader.dataset, Sized) else None
    except TypeError:
        return None


def _with_totals(data: DataSet, length: int | None, classes: int | None, cut_at: int | None) -> DataSet:
    """Say how many samples there are in all, and what reading only some of them means."""
    total = max(length or 0, data.samples_used)
    notes = []
    if cut_at is not None:
        of = f"{length:,}" if length else "an unknown number"
        notes.append(f"stopped reading at max_bytes={cut_at:,}: {data.samples_used:,} samples kept of {of}")
    if data.classes is not None and classes is None and (cut_at is not None or total > data.samples_used):
        notes.append("classes counted from the samples read")
    return replace(data, samples_total=total, note="; ".join(notes))
