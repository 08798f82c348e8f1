"""What training minimises: the loss, and the targets in the form that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from normfield.errors import InvalidInput
from normfield.samples import Samples, like

LossFunction = Callable[[Any, Any], torch.Tensor]
Fit = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TrainingLoss:
    """A loss by name, its function (outputs, targets) -> scalar, and how targets are made to fit (None: as given)."""

    name: str
    function: LossFunction
    fit: Fit | None

    def fitted(self, outputs: Any, targets: Samples, parameter: torch.Tensor) -> Samples:
        """Targets on the parameter's device in the form that the loss takes; refused where they do not fit."""
        if self.fit is None:
            return like(targets, parameter)
        if not isinstance(outputs, torch.Tensor):
            raise InvalidInput(
                expected=f"a model that returns one tensor of outputs, for the loss {self.name}",
                got=type(outputs).__name__,
                instead="wrap it in a module that returns that part, or give a loss of your own that takes all",
            )
        if not isinstance(targets, torch.Tensor):
            raise InvalidInput(
                expected=f"targets of one tensor for the loss {self.name}",
                got=type(targets).__name__,
                instead="give a loss of your own, a callable (outputs, targets) -> scalar",
            )
        return self.fit(outputs, targets.to(outputs.device))


def half_squared(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over samples of ½‖f − y‖²."""
    return (outputs - targets).square().sum() / (2 * len(outputs))


def as_training_loss(loss: str | LossFunction) -> TrainingLoss:
    """The loss that a name, a torch loss or a callable stands for."""
    if loss == "squared":
        return TrainingLoss("squared", half_squared, rows)
    if loss == "cross_entropy":
        return TrainingLoss("cross_entropy", F.cross_entropy, labels_or_rows)
    if isinstance(loss, str) or not callable(loss):
        raise InvalidInput(
            expected='loss as "squared", "cross_entropy" or a callable (outputs, targets) -> scalar',
            got=repr(loss),
            instead="choose one of these",
        )
    return TrainingLoss(_name(loss), loss, _fit_of(loss))


def scalar(value: object, loss: TrainingLoss) -> torch.Tensor:
    """The value of the loss, refused where it is not one number that can be differentiated."""
    if isinstance(value, torch.Tensor) and value.numel() == 1 and value.requires_grad:
        return value
    raise InvalidInput(
        expected=f"one number with a gradient from the loss {loss.name}",
        got=_described(value),
        instead="average over samples and outputs, and return the tensor itself",
    )


def rows(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Targets of the outputs' shape; labels become one-hot rows, their classes in dimension 1."""
    if not targets.is_floating_point():
        targets = F.one_hot(labels(outputs, targets), outputs.shape[1]).movedim(-1, 1)
    if outputs.shape[1:] != targets.shape[1:]:
        raise InvalidInput(
            expected=f"targets of the outputs' shape (samples, {_written(outputs.shape[1:])})",
            got=f"(samples, {_written(targets.shape[1:])})",
            instead=f"for a label at each position load them with classes={outputs.shape[1]}"
            if outputs.shape[2:] == targets.shape[1:] and outputs.ndim > 2
            else "give the model as many outputs as there are targets",
        )
    return targets.to(outputs.dtype)


def labels(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Class labels, one for each sample or position, refused where the model has no output for one of them."""
    needed, places = int(targets.max()) + 1, targets.shape[1:]
    if outputs.ndim < 2 or outputs.shape[1] < needed or outputs.shape[2:] != places:
        where = f"shape (samples, classes, {_written(places)}) with " if places else ""
        raise InvalidInput(
            expected=f"a model with {where}at least {needed} outputs per {'position' if places else 'sample'}, "
            "one per class",
            got=f"outputs of shape (samples, {_written(outputs.shape[1:])})",
            instead="put the classes into dimension 1" if places else "give it one output per class",
        )
    return targets


def labels_or_rows(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Class labels, or rows of class probabilities."""
    return probabilities(outputs, targets) if targets.is_floating_point() else labels(outputs, targets)


def probabilities(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Rows of class probabilities, refused where they are not positive or do not sum to 1."""
    given = rows(outputs, targets)
    if bool((targets < 0).any()) or bool(((targets.double().sum(1) - 1).abs() > 1e-4).any()):
        raise InvalidInput(
            expected="whole-number class labels, or class probabilities that are positive and sum to 1",
            got=f"other {targets.dtype} targets",
            instead='give int64 labels or use loss="squared"',
        )
    return given


def _fit_of(loss: LossFunction) -> Fit | None:
    if isinstance(loss, nn.MSELoss) or loss is F.mse_loss:
        return rows
    is_cross_entropy = isinstance(loss, nn.CrossEntropyLoss) or loss is F.cross_entropy
    return labels_or_rows if is_cross_entropy else None


def _name(loss: LossFunction) -> str:
    return getattr(loss, "__name__", type(loss).__name__)


def _described(value: object) -> str:
    """Why a value cannot be a loss."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return f"a tensor of shape {tuple(value.shape)}" if value.numel() != 1 else "a number without a gradient"


def _written(shape: torch.Size) -> str:
    return ", ".join(str(size) for size in shape)
