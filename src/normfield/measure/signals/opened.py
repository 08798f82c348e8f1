"""A model, one batch and a loss, read and checked at the price of no pass of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.subject.as_trained import as_trained
from normfield.measure.subject.batches import Batch, Batches, read_batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.losses import GeneralLoss, recognise
from normfield.measure.subject.one_batch import OneBatch
from normfield.measure.subject.survey import check_batch_size, check_outputs, run_model, tensor_outputs


class NotFinite(InvalidInput):
    """Outputs or a loss beyond what numbers hold, as of a training that diverged."""


def read_one(batch: Any) -> Batch:
    """The one batch that was given.

    Raises
    ------
    InvalidInput
        Something to read many batches from; a batch that `read_batches` refuses.
    """
    single = batch[0] if isinstance(batch, list) and len(batch) == 1 else batch
    if isinstance(single, Iterable) and not isinstance(single, tuple | list | Mapping | Tensor | np.ndarray):
        raise InvalidInput(
            expected="one batch (inputs, targets)",
            got=f"a {type(single).__name__}",
            instead="give one of its batches, as in next(iter(loader))",
        )
    return read_batches([single]).items[0]


@contextmanager
def in_training(function: ModelFunction, statistics: str, batch: Batch) -> Iterator[None]:
    """Hold a model `as_trained` while open, on a batch that is large enough for its batch norms.

    Raises
    ------
    InvalidInput
        Statistics that do not fit the model or the batch.
    """
    with as_trained(function, statistics):
        check_batch_size(function, Batches((batch,)), statistics)
        yield


@contextmanager
def opened(model: nn.Module, batch: Any, loss: Any, statistics: str, seed: int) -> Iterator[OneBatch]:
    """Hold a model in training mode while open, with its batch and loss; nothing is run yet.

    Raises
    ------
    InvalidInput
        A model without trainable parameters; a batch, loss or statistics that do not fit.
    """
    recognised, function = recognise(loss), ModelFunction.of(model, seed)
    read = read_one(batch)
    with in_training(function, statistics, read):
        yield OneBatch(function, read.like(function.parameters[0]), recognised)


def outputs_of(subject: OneBatch) -> Any:
    """The model's outputs: one finite tensor, or what a callable loss takes.

    Raises
    ------
    InvalidInput
        A forward that raises, outputs that the loss does not take.
    """
    if isinstance(subject.loss, GeneralLoss):
        return run_model(subject.function, subject.batch)
    outputs = tensor_outputs(subject.function, subject.batch)
    if outputs.is_floating_point() and not bool(torch.isfinite(outputs).all()):
        raise NotFinite(
            expected="finite model outputs",
            got="NaN or infinite ones",
            instead="check weights and the scale of the inputs",
        )
    check_outputs(outputs, subject.batch)
    return outputs


def loss_of(subject: OneBatch, outputs: Any) -> Tensor:
    """ℓ with its graph.

    Raises
    ------
    InvalidInput
        Targets that do not fit, a loss that is not one finite number.
    """
    value = subject.loss.value(outputs, subject.loss.read_targets(outputs, subject.batch.targets))
    if not bool(torch.isfinite(value)):
        raise NotFinite(
            expected="a finite loss",
            got=f"{float(value.detach())}",
            instead="take a step before training diverged, or check weights and targets",
        )
    return value
