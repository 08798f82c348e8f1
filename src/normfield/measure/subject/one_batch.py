"""One batch, its loss and its gradient at any parameters, on a model that is held in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from normfield.measure.subject.as_trained import as_trained
from normfield.measure.subject.batches import Batch, read_batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.losses import Loss, recognise
from normfield.measure.subject.survey import check_batch_size, fitted, survey


@dataclass(frozen=True, eq=False)
class OneBatch:
    """A checked model, batch and loss.

    Attributes
    ----------
    function : ModelFunction
    batch : Batch
        On the model's device and in its dtype.
    loss : Loss
    """

    function: ModelFunction
    batch: Batch
    loss: Loss

    def value(self, parameters: Sequence[Tensor] | None = None) -> Tensor:
        """ℓ at these parameters, by default the model's own, with its graph."""
        outputs = self.function(self.batch.inputs, parameters)
        return self.loss.value(outputs, self.loss.read_targets(outputs, self.batch.targets))

    def gradient(self, parameters: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        """∇ℓ at these parameters, by default the model's own, in their shapes.

        Raises
        ------
        InvalidInput
            An operation has no derivative.
        """
        at = self.function.parameters if parameters is None else parameters
        leaves = tuple(parameter.detach().requires_grad_() for parameter in at)
        function = replace(self.function, parameters=leaves)
        return function.split(function.gradient(replace(self, function=function).value()))


@contextmanager
def one_batch(model: nn.Module, batch: Any, loss: Any, statistics: str, seed: int) -> Iterator[OneBatch]:
    """Check model, batch and loss, and hold the model in place while open.

    Parameters
    ----------
    model : nn.Module
        One in eval mode is taken in training mode; of one in training mode every submodule stays as it is.
    batch : pair (inputs, targets), or mapping with targets
    loss, statistics, seed
        As for `curvature`.

    Raises
    ------
    InvalidInput
        Whatever cannot be measured: one line with what was expected, what came and what to do.
    """
    recognised = recognise(loss)
    function = ModelFunction.of(model, seed)
    with as_trained(function, statistics):
        read = read_batches([batch])
        check_batch_size(function, read, statistics)
        function, recognised = fitted(function, recognised, read)
        survey(function, read, recognised, statistics)
        yield OneBatch(function, read.items[0].like(function.parameters[0]), recognised)
