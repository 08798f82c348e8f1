"""Reading what is measured on: one batch, several, or a loader that is read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from normfield.errors import InvalidInput

BYTES_KEPT = 2 * 2**30
"""The most that is kept of a loader, in bytes."""

_WANTED = "batches: a pair (inputs, targets), a sequence of such pairs, or a DataLoader that gives them"


def _like(values: Tensor, parameter: Tensor) -> Tensor:
    return values.to(parameter) if values.is_floating_point() else values.to(parameter.device)


@dataclass(frozen=True)
class Batch:
    """Samples that share their batch-norm statistics: inputs (m, …) and targets (m, …)."""

    inputs: Tensor
    targets: Tensor

    @property
    def samples(self) -> int:
        """m, the length of the first dimension."""
        return len(self.inputs)

    @property
    def bytes(self) -> int:
        """The memory of both tensors."""
        return self.inputs.nbytes + self.targets.nbytes

    def like(self, parameter: Tensor) -> Batch:
        """The batch on the parameter's device, floating-point values in its dtype."""
        return Batch(_like(self.inputs, parameter), _like(self.targets, parameter))


@dataclass(frozen=True)
class Batches:
    """What was read, and how many samples of a short last batch were left out."""

    items: tuple[Batch, ...]
    dropped_samples: int = 0

    @property
    def samples(self) -> int:
        """All samples kept."""
        return sum(batch.samples for batch in self.items)


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _tensor(value: Any, name: str) -> Tensor:
    if not _is_array(value):
        raise InvalidInput(expected=_WANTED, got=f"{name} of type {type(value).__name__}")
    try:
        tensor = torch.as_tensor(value).detach()
    except TypeError as error:
        raise InvalidInput(expected=f"numeric {name}", got=f"dtype {value.dtype}") from error
    if tensor.dim() == 0:
        raise InvalidInput(expected=f"{name} with a first dimension of samples", got="a scalar")
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        bad = tensor.numel() - int(torch.isfinite(tensor).sum())
        raise InvalidInput(
            expected=f"finite {name}", got=f"{bad} NaN or infinite values", instead="clean the data first"
        )
    return tensor


def _batch(item: Any, place: str) -> Batch:
    if not isinstance(item, tuple | list) or len(item) != 2:
        got = f"{type(item).__name__}" + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
        raise InvalidInput(expected=_WANTED, got=f"{place} is a {got}")
    inputs, targets = _tensor(item[0], "inputs"), _tensor(item[1], "targets")
    if len(inputs) != len(targets):
        raise InvalidInput(
            expected=f"as many targets as inputs in {place}", got=f"{len(targets)} for {len(inputs)}"
        )
    if len(inputs) == 0:
        raise InvalidInput(expected="at least one sample in every batch", got=f"an empty {place}")
    return Batch(inputs, targets)


def _pairs(batches: Any) -> Iterable[Any]:
    """The pairs in whatever form they came."""
    if isinstance(batches, tuple | list) and len(batches) == 2 and all(map(_is_array, batches)):
        return [batches]
    if isinstance(batches, str | bytes | dict | Tensor | np.ndarray) or not isinstance(batches, Iterable):
        raise InvalidInput(expected=_WANTED, got=f"a {type(batches).__name__}")
    return batches


@contextmanager
def _same_generator(batches: Any) -> Iterator[None]:
    """Put back the state of a loader's own generator."""
    generator = batches.generator if isinstance(batches, DataLoader) else None
    state = None if generator is None else generator.get_state()
    try:
        yield
    finally:
        if generator is not None:
            generator.set_state(state)


def _read(pairs: Iterable[Any], limit: int) -> list[Batch]:
    kept: list[Batch] = []
    used = 0
    for number, item in enumerate(pairs, start=1):
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


def read_batches(batches: Any, limit: int = BYTES_KEPT) -> Batches:
    """Read batches once, check them, and drop a last one that is shorter than the first.

    Parameters
    ----------
    batches : pair, iterable of pairs, or DataLoader
        Pairs (inputs, targets) of tensors or arrays whose first dimension counts samples.
    limit : int
        The most bytes to keep.

    Raises
    ------
    InvalidInput
        No batch, an empty one, NaN or infinite values, lengths that differ, too many bytes, another form.
    """
    with _same_generator(batches):
        kept = _read(_pairs(batches), limit)
    if not kept:
        raise InvalidInput(expected="at least one batch", got="none", instead=_why_none(batches))
    if len(kept) > 1 and kept[-1].samples < kept[0].samples:
        return Batches(tuple(kept[:-1]), dropped_samples=kept[-1].samples)
    return Batches(tuple(kept))
