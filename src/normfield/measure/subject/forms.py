"""Which form the batches came in: one batch, or something to read batches from.

A tuple or list of two is one batch (inputs, targets) where one of the two could not be a batch itself: an array, a
structure of another length than two, a mapping without targets. Where both could, a list holds two batches; so does a
tuple, unless all four parts have one length, which leaves open which of the two was meant and is refused.
A mapping is one batch. Anything else that can be iterated gives batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from normfield.errors import InvalidInput
from normfield.samples import is_batch_mapping, read_samples

_WANTED = "batches: a pair (inputs, targets), a sequence of such pairs, or a DataLoader that gives them"


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _could_be_batch(item: Any) -> bool:
    """Whether an item reads as a pair or as a mapping with targets."""
    if isinstance(item, Mapping):
        return is_batch_mapping(item)
    return isinstance(item, tuple | list) and len(item) == 2


def _have_one_length(batches: tuple[Any, Any]) -> bool:
    """Whether all arrays in both have one first dimension."""
    try:
        read_samples(batches, "batches")
    except InvalidInput:
        return False
    return True


def _is_one_batch(batches: tuple[Any, Any] | list[Any]) -> bool:
    """Whether a sequence of two is one batch; see the rule above."""
    if not all(map(_could_be_batch, batches)):
        return any(isinstance(part, Tensor | np.ndarray | Mapping | tuple | list) for part in batches)
    if isinstance(batches, tuple) and not isinstance(batches[0], Mapping) and _have_one_length(batches):
        raise InvalidInput(
            expected="a tuple of two that is either one batch or two",
            got="a tuple of two pairs of one length, which could be both",
            instead="write a list: [(x1, y1), (x2, y2)] for two batches, [((x1, x2), (y1, y2))] for one",
        )
    return False


def items(batches: Any) -> Iterable[Any]:
    """The batches, in whatever form they came.

    Raises
    ------
    InvalidInput
        A form that gives no batches, or one that could be read in two ways.
    """
    if isinstance(batches, Mapping):
        return [batches]
    if isinstance(batches, tuple | list) and len(batches) == 2 and _is_one_batch(batches):
        return [batches]
    if isinstance(batches, Dataset):
        raise _not_batches(batches, "give a DataLoader(data, batch_size=128)")
    if callable(getattr(batches, "batches", None)) and not isinstance(batches, Iterable):
        raise _not_batches(batches, "give data.batches(128, seed=0)")
    if isinstance(batches, str | bytes | Tensor | np.ndarray) or not isinstance(batches, Iterable):
        raise _not_batches(batches)
    return batches


def _not_batches(batches: Any, instead: str = "") -> InvalidInput:
    return InvalidInput(expected=_WANTED, got=f"a {type(batches).__name__}", instead=instead)


def _generators(loader: DataLoader) -> Iterator[torch.Generator]:
    """The generators that a loader and its samplers draw from."""
    sources = (loader, loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None))
    for source in sources:
        generator = getattr(source, "generator", None)
        if isinstance(generator, torch.Generator):
            yield generator


@contextmanager
def same_generators(batches: Any) -> Iterator[None]:
    """Put back the states of a loader's own generators."""
    generators = list(_generators(batches)) if isinstance(batches, DataLoader) else []
    states = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
