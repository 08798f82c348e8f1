"""Independent gradients as rows: one for each sample where samples do not meet, else one for each mini-batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.subject.batches import Batch
from normfield.measure.subject.losses import CrossEntropy, Squared
from normfield.measure.subject.modes import batch_normalised
from normfield.measure.subject.objective import Objective
from normfield.samples import mapped

TOGETHER = 16
"""Samples that are differentiated in one vectorised pass."""
BYTES_TOGETHER = 2**26
"""The most memory of the rows of one such pass."""
BYTES_KEPT = 2**27
"""The most memory of rows that are kept for the second reading; above it they are computed again."""
LEAST = 4
"""The fewest rows from which a scatter with an error is read."""

Rows = Callable[[], Iterable[Tensor]]
"""Gives the rows, a few (k, P) at a time and the same ones at every call."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Where the gradients come from: what each is of, how many samples it is the mean over, how many there are."""

    unit: str
    size: int
    count: int
    rows: Rows
    reason: str = ""


def _flat(pieces: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """A vector in pieces as a flat one (P,)."""
    sizes = [piece.numel() for piece in pieces]
    found = torch.empty(sum(sizes), dtype=dtype, device=pieces[0].device)
    for place, piece in zip(found.split(sizes), pieces, strict=True):
        place.view(piece.shape).copy_(piece)
    return found


def _gradient(measured: Objective, batch: Batch) -> Tensor:
    """∇ℓ of one batch (P,)."""
    return _flat(measured.slope(batch).gradient, measured.function.dtype)


def _of_batches(measured: Objective) -> Iterator[Tensor]:
    """The gradient of every mini-batch."""
    for batch in measured.batches.items:
        yield _gradient(measured, batch)[None]


def _one_by_one(measured: Objective, batch: Batch) -> Iterator[Tensor]:
    """The gradient of every sample as a batch of its own."""
    for index in range(batch.samples):
        one = slice(index, index + 1)
        alone = Batch(*(mapped(part, lambda x, one=one: x[one]) for part in (batch.inputs, batch.targets)))
        yield _gradient(measured, alone)[None]


def _vectorised(measured: Objective, batch: Batch) -> Iterator[Tensor]:
    """The same, several samples in one pass."""
    function, loss = measured.function, measured.loss
    fixed = tuple(p.detach() for p in function.parameters)
    known = batch.like(fixed[0])
    with torch.no_grad():
        targets = loss.read_targets(function(known.inputs), known.targets)

    def value(parameters: tuple[Tensor, ...], inputs: object, wanted: object) -> Tensor:
        outputs = function(mapped(inputs, lambda x: x[None]), parameters)
        return loss.value(outputs, mapped(wanted, lambda x: x[None]))

    of_one = torch.func.vmap(torch.func.grad(value), in_dims=(None, 0, 0))
    row_bytes = function.size * function.dtype.itemsize
    together = max(1, min(TOGETHER, BYTES_TOGETHER // row_bytes))
    for start in range(0, batch.samples, together):
        some = slice(start, start + together)
        parts = (mapped(part, lambda x, some=some: x[some]) for part in (known.inputs, targets))
        pieces = of_one(fixed, *parts)
        yield torch.cat([piece.detach().flatten(1) for piece in pieces], 1)


Way = Callable[[Objective, Batch], Iterator[Tensor]]


def _agrees(measured: Objective, way: Way) -> bool:
    """Whether the samples' gradients have the first batch's as their mean."""
    batch = measured.batches.items[0]
    whole = _gradient(measured, batch).double()
    try:
        total = sum(rows.sum(0, dtype=torch.float64) for rows in way(measured, batch))
    except torch.OutOfMemoryError:
        raise
    except (
        Exception
    ):  # whatever user code raises under torch.func or on one sample, which it was not written for
        return False
    tolerance = torch.finfo(measured.function.dtype).eps ** 0.5
    return float((total / batch.samples - whole).norm()) <= tolerance * float(whole.norm()) + tolerance**2


def _way(measured: Objective) -> tuple[Way | None, str]:
    """How to take samples apart; None with the reason where they cannot be."""
    if batch_normalised(measured.function.model, measured.statistics):
        return None, "with batch norm a sample has no gradient of its own"
    for way in (_vectorised, _one_by_one):
        if _agrees(measured, way):
            return way, ""
    return None, "the gradient of a batch is not the mean of its samples' gradients"


def _kept(rows: Rows, size: int) -> Rows:
    """Rows that are computed once where they fit into memory."""
    if size > BYTES_KEPT:
        return rows
    found = list(rows())
    return lambda: found


def _check_mean(measured: Objective) -> None:
    loss = measured.loss
    is_sum = isinstance(loss, Squared) and loss.scaling == "sum"
    if is_sum or (isinstance(loss, CrossEntropy) and loss.reduction == "sum"):
        raise InvalidInput(
            expected="a loss that is the mean over its samples",
            got=loss.name,
            instead='use reduction="mean"',
        )


def _check_batches(measured: Objective, reason: str) -> None:
    """Refuse what has too few mini-batches, or such of several sizes."""
    sizes = sorted({batch.samples for batch in measured.batches.items})
    count = len(measured.batches.items)
    if count < LEAST:
        raise InvalidInput(
            expected=f"at least {LEAST} mini-batches, since {reason}",
            got=f"{count}",
            instead="give a list of batches or a loader, as they come in training",
        )
    if len(sizes) > 1:
        raise InvalidInput(
            expected=f"mini-batches of one size, since {reason}",
            got=f"sizes from {sizes[0]} to {sizes[-1]}",
            instead="give batches of one size",
        )


def draws_of(measured: Objective) -> Draws:
    """The finest independent gradients there are.

    Raises
    ------
    InvalidInput
        Fewer than four of them, mini-batches of several sizes, a loss that is a sum.
    """
    _check_mean(measured)
    way, reason = _way(measured)
    row_bytes = measured.function.size * measured.function.dtype.itemsize
    if way is None:
        _check_batches(measured, reason)
        items = measured.batches.items
        rows = _kept(lambda: _of_batches(measured), len(items) * row_bytes)
        return Draws("mini-batches", items[0].samples, len(items), rows, reason)
    count = measured.batches.samples
    if count < LEAST:
        raise InvalidInput(expected=f"at least {LEAST} samples", got=str(count), instead="give more")

    def apart() -> Iterator[Tensor]:
        for batch in measured.batches.items:
            yield from way(measured, batch)

    return Draws("samples", 1, count, _kept(apart, count * row_bytes))
