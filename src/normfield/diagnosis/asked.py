"""What was asked of a diagnosis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

from torch import nn

from normfield.errors import InvalidInput
from normfield.measure.subject.losses import recognise

Loss = str | Callable[..., Any]


@dataclass(frozen=True)
class Asked:
    """The settings of one diagnosis, checked when made."""

    loss: Loss
    batch_size: int
    momentum: float
    budget: float
    seed: int
    kind: str | None = None
    statistics: str = "batch"
    batch_note: str = ""
    learning_rate: float | None = None
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.loss, str) and self.loss not in ("squared", "cross_entropy"):
            raise InvalidInput(
                expected='loss "squared", "cross_entropy" or a callable (outputs, targets) -> scalar',
                got=repr(self.loss),
            )
        if not isinstance(self.loss, str) and not callable(self.loss):
            raise InvalidInput(expected="loss as a word or a callable", got=repr(self.loss))
        if not _is_number(self.momentum) or not 0 <= self.momentum < 1:
            raise InvalidInput(expected="momentum in [0, 1)", got=repr(self.momentum))
        if not _is_number(self.budget) or not 0 < self.budget < math.inf:
            raise InvalidInput(expected="a budget above 0 seconds, and finite", got=repr(self.budget))
        if self.kind not in (None, "fisher", "ggn", "hessian"):
            raise InvalidInput(expected='kind "fisher", "ggn" or "hessian"', got=repr(self.kind))
        if self.statistics not in ("batch", "frozen", "running"):
            raise InvalidInput(
                expected='statistics "batch", "frozen" or "running"', got=repr(self.statistics)
            )
        _check_training(self.learning_rate, self.weight_decay)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InvalidInput(expected="seed as a whole number", got=repr(self.seed))
        no_fisher = recognise(self.loss).no_fisher
        if self.kind == "fisher" and no_fisher:
            raise InvalidInput(
                expected="a loss that has a Fisher matrix for kind fisher",
                got=f"{self.loss_name}: {no_fisher}",
                instead="leave kind out, or use ggn or hessian",
            )

    @property
    def loss_name(self) -> str:
        """The loss in a word."""
        return (
            self.loss
            if isinstance(self.loss, str)
            else getattr(self.loss, "__name__", type(self.loss).__name__)
        )

    def squared_loss_factor(self, outputs: int) -> float | None:
        """λ in units of this loss over λ of ½‖f − y‖² averaged over samples; None where it is no squared loss."""
        if self.loss == "squared":
            return 1.0
        if isinstance(self.loss, nn.MSELoss) and self.loss.reduction == "mean":
            return 2 / outputs
        return None

    @property
    def is_cross_entropy(self) -> bool:
        """Whether the loss is the plain mean cross-entropy."""
        if self.loss == "cross_entropy":
            return True
        plain = isinstance(self.loss, nn.CrossEntropyLoss) and self.loss.reduction == "mean"
        return plain and self.loss.weight is None and self.loss.label_smoothing == 0  # type: ignore[union-attr]

    @property
    def matrix(self) -> str:
        """Which matrix is measured: as asked, else the Fisher matrix where the loss has one."""
        if self.kind is not None:
            return self.kind
        return "ggn" if recognise(self.loss).no_fisher else "fisher"


def _check_training(learning_rate: object, weight_decay: object) -> None:
    """What the caller means to train with."""
    if learning_rate is not None and not (_is_number(learning_rate) and 0 < learning_rate < math.inf):
        raise InvalidInput(
            expected="learning_rate above 0, and finite",
            got=repr(learning_rate),
            instead="leave it out to be told the limit alone",
        )
    if not _is_number(weight_decay) or not 0 <= weight_decay < math.inf:
        raise InvalidInput(expected="weight_decay of at least 0, and finite", got=repr(weight_decay))


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
