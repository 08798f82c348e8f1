"""A first look at model, loss and batches, before anything is spent on them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.subject.batches import Batch, Batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.losses import GeneralLoss, Loss
from normfield.measure.subject.modes import batch_normalised
from normfield.measure.subject.precision import HalfPrecisionWatch
from normfield.measure.subject.randomness import has_drawn
from normfield.measure.subject.structured import OnStructure, OutputLayout
from normfield.samples import shape_words


def run_model(function: ModelFunction, batch: Batch) -> Any:
    """Whatever the model returns, or one line on why there is nothing."""
    try:
        return function(batch.inputs)
    except (InvalidInput, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise InvalidInput(
            expected="inputs that the model takes",
            got=f"inputs of {shape_words(batch.inputs)}, on which its forward raised "
            f"{type(error).__name__}: {error}",
        ) from error


def tensor_outputs(function: ModelFunction, batch: Batch) -> Tensor:
    """The model's outputs as one tensor."""
    outputs = run_model(function, batch)
    if not isinstance(outputs, Tensor):
        raise InvalidInput(
            expected="a model that returns one tensor",
            got=f"a {type(outputs).__name__}",
            instead="wrap it in a module that returns the part the loss takes, or measure kind "
            '"ggn" or "hessian" of a callable loss that takes the whole',
        )
    return outputs


def check_outputs(outputs: Tensor, batch: Batch) -> None:
    if outputs.dim() == 0 or len(outputs) != batch.samples or outputs.numel() == 0:
        raise InvalidInput(
            expected=f"outputs with one row for each of the {batch.samples} samples",
            got=f"shape {tuple(outputs.shape)}",
        )
    if not outputs.is_floating_point() or not torch.isfinite(outputs).all():
        raise InvalidInput(
            expected="finite floating-point model outputs",
            got="NaN or infinite ones" if outputs.is_floating_point() else str(outputs.dtype),
            instead="check weights and the scale of the inputs",
        )


def _check_loss(loss: Loss, outputs: Tensor, targets: Any) -> None:
    value = loss.value(outputs, loss.read_targets(outputs, targets))
    if not torch.isfinite(value):
        raise InvalidInput(expected="a finite loss", got=f"{float(value)}", instead="check the targets")


def _check_repeatable(function: ModelFunction, batch: Batch, first: Tensor) -> None:
    """Run a second time and compare, up to a device's order of summation."""
    tolerance = 100 * torch.finfo(first.dtype).eps * float(first.abs().max())
    second = tensor_outputs(function, batch)
    if second.shape != first.shape or not float((second - first).abs().max()) <= tolerance:
        raise InvalidInput(
            expected="a model that gives the same outputs twice",
            got="different ones, although torch's, NumPy's and Python's generators started alike (the usual causes: "
            "a generator of its own, or something it counts)",
            instead="fix that while measuring",
        )


def _check_precision(function: ModelFunction, batch: Batch) -> Tensor:
    """The outputs, having looked that none of their operations is in half precision."""
    with HalfPrecisionWatch() as watch:
        outputs = tensor_outputs(function, batch)
    if watch.found:
        raise InvalidInput(
            expected="a model that computes in float32 or float64",
            got=f"{' and '.join(sorted(watch.found))} inside its forward",
            instead="switch autocast or casts inside the model off; half-precision parameters themselves are "
            "measured in float32",
        )
    return outputs


def check_batch_size(function: ModelFunction, batches: Batches, statistics: str) -> None:
    smallest = min(batch.samples for batch in batches.items)
    if smallest < 2 and batch_normalised(function.model, statistics):
        raise InvalidInput(
            expected=f'batches of at least 2 samples for a model with batch norm and statistics="{statistics}"',
            got=f"a batch of {smallest}",
            instead='give larger batches, or use statistics="running"',
        )


def _check_ghost_rows(function: ModelFunction, batch: Batch) -> None:
    """Refuse ghost batches where a batch norm's rows are not the samples."""
    rows: dict[str, int] = {}

    def note(name: str, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        rows[name] = len(given[0])

    handles = [
        layer.register_forward_pre_hook(partial(note, name))
        for name, layer in batch_normalised(function.model).items()
    ]
    try:
        tensor_outputs(function, batch)
    finally:
        for handle in handles:
            handle.remove()
    other = {name: count for name, count in rows.items() if count != batch.samples}
    if other:
        name, count = next(iter(other.items()))
        raise InvalidInput(
            expected="batch norms that get one row for each sample, for a ghost_batch_size",
            got=f"{count} rows for {batch.samples} samples at {name!r}",
            instead="give batches of that size instead",
        )


def fitted(function: ModelFunction, loss: Loss, batches: Batches) -> tuple[ModelFunction, Loss]:
    """Function and loss that agree on outputs in one tensor, where a user's loss takes structured ones.

    Raises
    ------
    InvalidInput
        A forward that raises; outputs that cannot be laid out as rows.
    """
    if not isinstance(loss, GeneralLoss):
        return function, loss
    batch = batches.items[0].like(function.like)
    with torch.no_grad():
        outputs = run_model(function, batch)
    if isinstance(outputs, Tensor):
        return function, loss
    layout = OutputLayout.of(outputs, batch.samples)
    return replace(function, layout=layout), replace(loss, function=OnStructure(loss.function, layout))


def survey(function: ModelFunction, batches: Batches, loss: Loss | None, statistics: str) -> tuple[int, ...]:
    """Run every batch once, the first one twice, and check what comes.

    Returns
    -------
    tuple of int
        Shape of one sample's outputs.

    Raises
    ------
    InvalidInput
        One sample to a batch norm, a forward that raises, is random in its own way or computes in half precision,
        outputs that are no tensor, not finite or of another length than the batch, targets that do not fit the loss,
        a loss that is not a finite scalar.
    """
    check_batch_size(function, batches, statistics)
    shape: tuple[int, ...] = ()
    with torch.no_grad():
        if batches.ghost_batch_size is not None:
            _check_ghost_rows(function, batches.items[0].like(function.like))
        for number, batch in enumerate(item.like(function.like) for item in batches.items):
            outputs = _check_precision(function, batch) if number == 0 else tensor_outputs(function, batch)
            check_outputs(outputs, batch)
            if number == 0:
                _check_repeatable(function, batch, outputs)
            if loss is not None:
                _check_loss(loss, outputs, batch.targets)
            shape = tuple(outputs.shape[1:])
    return shape


def assumptions(function: ModelFunction, batches: Batches) -> tuple[str, ...]:
    """What the numbers rest on beside model, data and statistics; to be asked right after `survey`."""
    found = []
    if has_drawn(function.seed, function.device):
        found.append(f"random draws in the model are fixed by seed {function.seed}, alike for every batch")
    if batches.ghost_batch_size is not None:
        found.append(f"batch-norm statistics of groups of {batches.ghost_batch_size} samples")
    if function.widened:
        found.append(f"{' and '.join(function.widened)} parameters computed in float32")
    return tuple(found)
