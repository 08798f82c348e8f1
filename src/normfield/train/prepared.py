"""Data cut, shaped and moved for one model: what the steps read and what the evaluations read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from normfield.data import DataSet
from normfield.data.batching import Pair, shuffled_batches, taken
from normfield.data.foreign_errors import described
from normfield.data.random_state import kept_random_state
from normfield.errors import InvalidInput, NormfieldError
from normfield.samples import Samples, apply, count, like, mapped, shape_words
from normfield.train.evaluation import batch_mode, mean_loss
from normfield.train.losses import TrainingLoss, scalar

EVALUATED_SAMPLES = 2048
_EVALUATION_SEED = 0


@dataclass(frozen=True, eq=False)
class Prepared:
    """Training data on the model's device, and the fixed batches on which runs are compared."""

    loss: TrainingLoss
    inputs: Samples
    targets: Samples
    batch_size: int | None
    evaluation: Sequence[Pair]
    test: Sequence[Pair]
    labelled: bool

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass."""
        return 1 if self.batch_size is None else count(self.inputs) // self.batch_size

    @property
    def dropped_samples(self) -> int:
        """Samples that each pass leaves out, since they fill no batch."""
        return 0 if self.batch_size is None else count(self.inputs) % self.batch_size

    def passes(self, seed: int) -> Iterator[Sequence[Pair]]:
        """Passes over the data without end, each in a new order drawn from the seed."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield _cut(self.inputs, self.targets, self.batch_size, generator)


def prepare(model: nn.Module, data: DataSet, loss: TrainingLoss, batch_size: int | None) -> Prepared:
    """Fit the data to the model, refusing what does not fit before anything is trained."""
    parameter = _first_trainable(model)
    _check_sizes(data, batch_size)
    inputs = like(data.inputs, parameter)
    outputs = _outputs(model, taken(inputs, slice(2)))
    targets = loss.fitted(outputs, data.targets, parameter)
    prepared = Prepared(
        loss=loss,
        inputs=inputs,
        targets=targets,
        batch_size=batch_size,
        evaluation=_evaluation(inputs, targets, batch_size),
        test=_test(data, outputs, loss, batch_size, parameter),
        labelled=_is_labelled(data, outputs),
    )
    _check_loss(model, prepared)
    return prepared


def _is_labelled(data: DataSet, outputs: Any) -> bool:
    """Whether the largest output along dimension 1 can be compared with a class, at each position."""
    return (
        data.classes is not None
        and isinstance(outputs, torch.Tensor)
        and outputs.ndim > 1
        and outputs.shape[2:] == data.targets.shape[1:]
    )


def _cut(
    inputs: Samples, targets: Samples, batch_size: int | None, seed: int | torch.Generator
) -> Sequence[Pair]:
    """Shuffled batches, or the one full batch as it is."""
    if batch_size is None:
        return [(inputs, targets)]
    return shuffled_batches(inputs, targets, batch_size, seed)


def _evaluation(inputs: Samples, targets: Samples, batch_size: int | None) -> Sequence[Pair]:
    """The same batches for every seed, of at most `EVALUATED_SAMPLES` samples but one batch at least."""
    if batch_size is None:
        return [(inputs, targets)]
    batches = shuffled_batches(inputs, targets, batch_size, _EVALUATION_SEED)
    kept = max(1, EVALUATED_SAMPLES // batch_size) * batch_size
    return replace(batches, order=batches.order[:kept])


def _test(
    data: DataSet, outputs: Any, loss: TrainingLoss, batch_size: int | None, parameter: nn.Parameter
) -> Sequence[Pair]:
    """Test data in batches as in training, or as one batch where they are fewer."""
    if data.test_inputs is None or data.test_targets is None:
        return []
    inputs = like(data.test_inputs, parameter)
    targets = loss.fitted(outputs, data.test_targets, parameter)
    size = min(batch_size or data.samples_used, count(inputs))
    return _cut(inputs, targets, size, _EVALUATION_SEED)


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
    if batch_size is not None and batch_size > data.samples_used:
        raise InvalidInput(
            expected=f"batch_size of at most {data.samples_used:,}, the number of samples",
            got=f"{batch_size:,}",
            instead="give a smaller batch_size, or None for the full batch",
        )
    for what, inputs in (("training", data.inputs), ("test", data.test_inputs)):
        if inputs is not None and count(inputs) < 2:
            raise InvalidInput(
                expected=f"at least 2 {what} samples", got=f"{count(inputs)}", instead="give more samples"
            )


def _outputs(model: nn.Module, inputs: Samples) -> Any:
    """Outputs for a few samples, with the module's own complaint in ours where it refuses them."""
    try:
        with batch_mode(model), kept_random_state(), torch.no_grad():
            outputs = apply(model, inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise InvalidInput(
            expected=f"a model that takes inputs of {_each(inputs)}",
            got=f"{type(error).__name__}: {error}",
            instead=_remedy(inputs, error),
        ) from error
    if isinstance(outputs, torch.Tensor) and (outputs.ndim < 1 or len(outputs) != count(inputs)):
        raise InvalidInput(
            expected="a model that returns outputs with a row per sample",
            got=f"shape {tuple(outputs.shape)} for {count(inputs)} samples",
            instead="wrap it in a module that does",
        )
    return outputs


def _each(inputs: Samples) -> str:
    """The shapes of a sample in words, ``samples`` in the place of their number."""
    if isinstance(inputs, torch.Tensor):
        return f"shape (samples, {', '.join(map(str, inputs.shape[1:]))})"
    return f"{shape_words(mapped(inputs, lambda tensor: tensor[0]))} per sample"


def _remedy(inputs: Samples, error: Exception) -> str:
    """What may help a model that refuses its inputs: other types where these are what it complains of."""
    if not isinstance(inputs, torch.Tensor):
        return "name a dict's entries as the arguments of forward, or order a tuple as they are"
    if not inputs.is_floating_point():
        return 'give floats, e.g. nf.load((x, y), inputs="floats"), if these are no indices'
    if any(word in str(error) for word in ("indices", "index", "Long", "long", "integer")):
        return 'give indices as int64 tensors, or nf.load((x, y), inputs="as given")'
    return "give data of the model's input shape, e.g. data.flattened() or data.shaped(...)"


def _check_loss(model: nn.Module, prepared: Prepared) -> None:
    """Refuse a loss that is no differentiable number, or not finite before the first step."""
    inputs, targets = prepared.evaluation[0]
    with batch_mode(model), kept_random_state(), torch.enable_grad():
        scalar(_loss_value(prepared.loss, apply(model, inputs), targets), prepared.loss)
    first = mean_loss(model, prepared.loss.function, prepared.evaluation)
    if not math.isfinite(first):
        raise InvalidInput(
            expected="a finite loss before the first step",
            got=f"{first}",
            instead="check the model's initial weights and the scale of inputs and targets",
        )


def _loss_value(loss: TrainingLoss, outputs: Any, targets: Samples) -> Any:
    """What the loss says, with its own complaint in ours where it raises."""
    try:
        return loss.function(outputs, targets)
    except (NormfieldError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise InvalidInput(
            expected=f"a loss {loss.name} that takes the model's outputs and the targets",
            got=described(error),
            instead="correct the loss, or the form of the targets",
        ) from error
