"""A torch ``DataLoader`` or ``Dataset``, read once up to a number of bytes, no generator left changed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from normfield.data.batching import Pair, taken
from normfield.data.dataset import DataSet
from normfield.data.foreign_errors import described
from normfield.data.given import Form, as_inputs, as_targets, from_pair
from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput
from normfield.samples import Samples, count, leaves, mapped, shape_words, size_in_bytes, split_targets

_READ_AT_ONCE = 256  # samples of a Dataset that has no loader


@dataclass(frozen=True)
class Reading:
    """How many samples (None: all) and bytes to read at most, the seed of global generators, how values are taken."""

    samples: int | None
    max_bytes: int
    seed: int
    classes: int | None = None
    form: Form | None = None


def from_dataset(dataset: Dataset[Any], name: str, reading: Reading) -> DataSet:
    """Read a ``Dataset`` in its own order, as `from_loader` does."""
    return from_loader(DataLoader(dataset, batch_size=_READ_AT_ONCE), name, reading)


def from_loader(loader: DataLoader[Any], name: str, reading: Reading) -> DataSet:
    """Read a loader once, until it ends or the limits are reached.

    Bytes are counted as kept (float32 or whole inputs, int64 or float32 targets); twice as many are needed while the
    pieces are joined. Global generators start at the seed while it is read and have their old states
    afterwards, as have the loader's own.

    Raises
    ------
    InvalidInput
        The loader raises, gives no samples, or gives something else than pairs of inputs and targets.
    """
    with seeded_random_state(reading.seed, _own_generators(loader)):
        pieces, room_left = _read(loader, reading)
    inputs, targets = _joined(pieces)
    data = from_pair(inputs, targets, name, reading.classes, reading.form)
    return _with_totals(data, _length(loader), reading, cut=not room_left)


def _own_generators(loader: DataLoader[Any]) -> list[torch.Generator]:
    """Return the generators that the loader and its samplers hold, each once."""
    sampler, batch_sampler = loader.sampler, loader.batch_sampler
    holders = (loader, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found = (getattr(holder, "generator", None) for holder in holders)
    return list({id(each): each for each in found if isinstance(each, torch.Generator)}.values())


def _read(loader: DataLoader[Any], reading: Reading) -> tuple[list[Pair], bool]:
    """Return the pieces kept, and whether all that was wanted fitted in the bytes."""
    pieces: list[Pair] = []
    kept, left = 0, reading.max_bytes
    for inputs, targets in _pairs(loader, reading):
        here = count(inputs)
        wanted = here if reading.samples is None else min(here, reading.samples - kept)
        each = (size_in_bytes(inputs) + size_in_bytes(targets)) // here
        room = min(wanted, left // each)
        pieces.append((_copied(inputs, room), _copied(targets, room)))
        kept, left = kept + room, left - room * each
        if room < wanted:
            return pieces, False
        if kept == reading.samples:
            break
    return pieces, True


def _copied(values: Samples, samples: int) -> Samples:
    """Copy the first samples: a worker's tensors hold a file descriptor each, and a loader may reuse its buffers."""
    return mapped(taken(values, slice(samples)), torch.Tensor.clone)


def _pairs(loader: DataLoader[Any], reading: Reading) -> Iterator[Pair]:
    """Go through the loader's batches as tensors, empty ones left out."""
    for number, item in enumerate(_items(loader)):
        inputs, targets = _pair_of(item, number)
        inputs = as_inputs(inputs, "inputs", reading.form)
        targets = as_targets(targets, reading.classes is not None)
        lengths = {tensor.shape[:1] for part in (inputs, targets) for tensor in leaves(part)}
        if len(lengths) != 1 or lengths == {torch.Size([])}:
            raise InvalidInput(
                expected="as many targets as inputs in every batch",
                got=f"inputs of {shape_words(inputs)} and targets of {shape_words(targets)}",
                instead=f"look at batch {number} of the loader",
            )
        if count(inputs):
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
        return split_targets(item, f"batch {number}")
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    size = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
    raise InvalidInput(
        expected="batches of (inputs, targets)",
        got=f"{type(item).__name__}{size} in batch {number}",
        instead="let the data set return pairs, several inputs as a tuple or dict of their own, or a mapping",
    )


def _joined(pieces: list[Pair]) -> Pair:
    if not pieces:
        raise InvalidInput(expected="data with at least one sample", got="a loader that gives none")
    if sum(count(inputs) for inputs, _ in pieces) == 0:
        raise InvalidInput(
            expected="max_bytes large enough for one sample", got="room for none", instead="raise max_bytes"
        )
    inputs, targets = zip(*pieces, strict=True)
    return _concatenated(inputs, "inputs"), _concatenated(targets, "targets")


def _concatenated(parts: Sequence[Samples], what: str) -> Samples:
    """Join the pieces tensor by tensor, refusing pieces that differ in structure, shape or type."""
    forms = sorted({_form(part) for part in parts})
    if len(forms) > 1:
        raise InvalidInput(
            expected=f"{what} of one shape and type in all batches",
            got=" and ".join(forms[:2]),
            instead="bring the samples to one shape and type",
        )
    joined = map(torch.cat, zip(*map(leaves, parts), strict=True))
    return mapped(parts[0], lambda _: next(joined))


def _form(values: Samples) -> str:
    """The structure in words, with shape and type of one sample: ``(2,) of torch.float32``."""
    if isinstance(values, torch.Tensor):
        return f"{tuple(values.shape[1:])} of {values.dtype}"
    named = values.items() if isinstance(values, dict) else enumerate(values)
    return ", ".join(f"{key}: {_form(part)}" for key, part in named)


def _length(loader: DataLoader[Any]) -> int | None:
    """Return the number of samples of the loader's data set, where it says."""
    try:
        return len(loader.dataset) if isinstance(loader.dataset, Sized) else None
    except TypeError:
        return None


def _with_totals(data: DataSet, length: int | None, reading: Reading, cut: bool) -> DataSet:
    """Say how many samples there are in all, and what reading only some of them means."""
    total = max(length or 0, data.samples_used)
    notes = []
    if cut:
        of = f"{length:,}" if length else "an unknown number"
        notes.append(
            f"stopped reading at max_bytes={reading.max_bytes:,}: {data.samples_used:,} samples kept of {of}"
        )
    if data.classes is not None and reading.classes is None and (cut or total > data.samples_used):
        notes.append("classes counted from the samples read")
    return replace(data, samples_total=total, note="; ".join(notes))
