"""A first look at model, loss and batches, before anything is spent on them."""

from __future__ import annotations

import torch
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.batches import Batch, Batches
from normfield.measure.function import ModelFunction
from normfield.measure.losses import Loss
from normfield.measure.modes import batch_norms


def _outputs(function: ModelFunction, batch: Batch) -> Tensor:
    """The model's outputs, or one line on why there are none."""
    try:
        outputs = function(batch.inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise InvalidInput(
            expected="inputs that the model takes",
            got=f"inputs of shape {tuple(batch.inputs.shape)}, on which its forward raised "
            f"{type(error).__name__}: {error}",
        ) from error
    if not isinstance(outputs, Tensor):
        raise InvalidInput(
            expected="a model that returns one tensor",
            got=f"a {type(outputs).__name__}",
            instead="wrap it in a module that returns the part the loss takes",
        )
    return outputs


def _check_outputs(outputs: Tensor, batch: Batch) -> None:
    if outputs.dim() == 0 or len(outputs) != batch.samples:
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


def _check_loss(loss: Loss, outputs: Tensor, targets: Tensor) -> None:
    value = loss.value(outputs, loss.read_targets(outputs, targets))
    if not torch.isfinite(value):
        raise InvalidInput(expected="a finite loss", got=f"{float(value)}", instead="check the targets")


def _check_repeatable(function: ModelFunction, batch: Batch, first: Tensor) -> None:
    """Run a second time and compare, up to a device's order of summation."""
    tolerance = 100 * torch.finfo(first.dtype).eps * float(first.abs().max())
    if float((function(batch.inputs) - first).abs().max()) > tolerance:
        raise InvalidInput(
            expected="a model that gives the same outputs twice",
            got="different ones (the usual causes: dropout in training mode, or shuffling inside the model)",
            instead="set p to 0 in its dropout layers",
        )


def _check_batch_size(function: ModelFunction, batches: Batches, statistics: str) -> None:
    smallest = min(batch.samples for batch in batches.items)
    if smallest < 2 and statistics != "running" and batch_norms(function.model):
        raise InvalidInput(
            expected=f'batches of at least 2 samples for a model with batch norm and statistics="{statistics}"',
            got=f"a batch of {smallest}",
            instead='give larger batches, or use statistics="running"',
        )


def survey(function: ModelFunction, batches: Batches, loss: Loss | None, statistics: str) -> tuple[int, ...]:
    """Run every batch once, the first one twice, and check what comes.

    Returns
    -------
    tuple of int
        Shape of one sample's outputs.

    Raises
    ------
    InvalidInput
        One sample to a batch norm, a forward that raises or is random, outputs that are no tensor, not finite or of
        another length than the batch, targets that do not fit the loss, a loss that is not a finite scalar.
    """
    _check_batch_size(function, batches, statistics)
    shape: tuple[int, ...] = ()
    with torch.no_grad():
        for number, batch in enumerate(item.like(function.parameters[0]) for item in batches.items):
            outputs = _outputs(function, batch)
            _check_outputs(outputs, batch)
            if number == 0:
                _check_repeatable(function, batch, outputs)
            if loss is not None:
                _check_loss(loss, outputs, batch.targets)
            shape = tuple(outputs.shape[1:])
    return shape
