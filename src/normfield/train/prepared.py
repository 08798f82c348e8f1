"""Data cut, shaped and moved for one model: what the steps read and what the evaluations read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from normfield.data import DataSet
from normfield.data.batching import Pair, shuffled_batches
from normfield.data.random_state import kept_random_state
from normfield.errors import InvalidInput
from normfield.train.evaluation import batch_mode, mean_loss
from normfield.train.losses import TrainingLoss, scalar

EVALUATED_SAMPLES = 2048
_EVALUATION_SEED = 0


@dataclass(frozen=True, eq=False)
class Prepared:
    """Training data on the model's device, and the fixed batches on which runs are compared."""

    loss: TrainingLoss
    inputs: torch.Tensor
    targets: torch.Tensor
    batch_size: int | None
    evaluation: Sequence[Pair]
    test: Sequence[Pair]
    labelled: bool

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass."""
        return 1 if self.batch_size is None else len(self.inputs) // self.batch_size

    @property
    def dropped_samples(self) -> int:
        """Samples that each pass leaves out, since they fill no batch."""
        return 0 if self.batch_size is None else len(self.inputs) % self.batch_size

    def passes(self, seed: int) -> Iterator[Sequence[Pair]]:
        """Passes over the data without end, each in a new order drawn from the seed."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield _cut(self.inputs, self.targets, self.batch_size, generator)


def prepare(model: nn.Module, data: DataSet, loss: TrainingLoss, batch_size: int | None) -> Prepared:
    """Fit the data to the model, refusing what does not fit before anything is trained."""
    parameter = _first_trainable(model)
    _check_sizes(data, batch_size)
    inputs = data.inputs.to(parameter.device, parameter.dtype)
    outputs = _outputs(model, inputs[:2])
    targets = loss.fit(outputs, data.targets.to(parameter.device))
    prepared = Prepared(
        loss=loss,
        inputs=inputs,
        targets=targets,
        batch_size=batch_size,
        evaluation=_evaluation(inputs, targets, batch_size),
        test=_test(data, outputs, loss, batch_size),
        labelled=data.classes is not None and outputs.ndim == 2,
    )
    _check_loss(model, prepared)
    return prepared


def _cut(
    inputs: torch.Tensor, targets: torch.Tensor, batch_size: int | None, seed: int | torch.Generator
) -> Sequence[Pair]:
    """Shuffled batches, or the one full batch as it is."""
    if batch_size is None:
        return [(inputs, targets)]
    return shuffled_batches(inputs, targets, batch_size, seed)


def _evaluation(inputs: torch.Tensor, targets: torch.Tensor, batch_size: int | None) -> Sequence[Pair]:
    """The same batches for every seed, of at most `EVALUATED_SAMPLES` samples but one batch at least."""
    if batch_size is None:
        return [(inputs, targets)]
    batches = shuffled_batches(inputs, targets, batch_size, _EVALUATION_SEED)
    kept = max(1, EVALUATED_SAMPLES // batch_size) * batch_size
    return replace(batches, order=batches.order[:kept])


def _test(data: DataSet, outputs: torch.Tensor, loss: TrainingLoss, batch_size: int | None) -> Sequence[Pair]:
    """Test data in batches as in training, or as one batch where they are fewer."""
    if data.test_inputs is None or data.test_targets is None:
        return []
    inputs = data.test_inputs.to(outputs.device, outputs.dtype)
    targets = loss.fit(outputs, data.test_targets.to(outputs.device))
    return _cut(inputs, targets, min(batch_size or len(data.inputs), len(inputs)), _EVALUATION_SEED)


def _first_trainable(model: nn.Module) -> nn.Parameter:
    for parameter in model.parameters():
        if parameter.requires_grad:
            return parameter
    raise InvalidInput(
        expected="a module with trainable parameters",
        got=f"{type(model).__name__} without any",
        instead="check requires_grad",
    )


def _check_sizes(data: DataSet, batch_size: int | None) -> None:
    if batch_size is not None and batch_size > len(data.inputs):
        raise InvalidInput(
            expected=f"batch_size of at most {len(data.inputs):,}, the number of samples",
            got=f"{batch_size:,}",
            instead="give a smaller batch_size, or None for the full batch",
        )
    for what, inputs in (("training", data.inputs), ("test", data.test_inputs)):
        if inputs is not None and len(inputs) < 2:
            raise InvalidInput(
                expected=f"at least 2 {what} samples", got=f"{len(inputs)}", instead="give more samples"
            )


def _outputs(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Outputs for a few samples, with the module's own complaint in ours where it refuses them."""
    try:
        with batch_mode(model), kept_random_state(), torch.no_grad():
            outputs = model(inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise InvalidInput(
            expected=f"a model that takes inputs of shape (samples, {', '.join(map(str, inputs.shape[1:]))})",
            got=f"{type(error).__name__}: {error}",
            instead="give data of the model's input shape, e.g. data.flattened() or data.shaped(...)",
        ) from error
    if not isinstance(outputs, torch.Tensor) or outputs.ndim < 1 or len(outputs) != len(inputs):
        raise InvalidInput(
            expected="a model that returns one tensor of outputs, a row per sample",
            got=f"shape {tuple(outputs.shape)}"
            if isinstance(outputs, torch.Tensor)
            else type(outputs).__name__,
            instead="wrap it in a module that does",
        )
    return outputs


def _check_loss(model: nn.Module, prepared: Prepared) -> None:
    """Refuse a loss that is no differentiable number, or not finite before the first step."""
    inputs, targets = prepared.evaluation[0]
    with batch_mode(model), kept_random_state(), torch.enable_grad():
        scalar(prepared.loss.function(model(inputs), targets), prepared.loss)
    first = mean_loss(model, prepared.loss.function, prepared.evaluation)
    if not math.isfinite(first):
        raise InvalidInput(
            expected="a finite loss before the first step",
            got=f"{first}",
            instead="check the model's initial weights and the scale of inputs and targets",
        )
