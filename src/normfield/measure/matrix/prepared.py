"""From what a caller gives to a checked curvature operator: the one way in for all that is measured of a matrix."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.matrix.operators import GaussNewton, Hessian, Linearisation, MeanOperator
from normfield.measure.matrix.tangents import WAYS, Tangents
from normfield.measure.subject.batches import Batch, Batches, read_batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.losses import GeneralLoss, Loss, recognise
from normfield.measure.subject.modes import batch_norm_statistics
from normfield.measure.subject.survey import assumptions, fitted, survey
from normfield.measure.subject.untouched import untouched

KINDS = ("fisher", "ggn", "hessian")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is not one of the choices."""
    if value not in choices:
        raise InvalidInput(expected=f"{name} one of {', '.join(choices)}", got=repr(value))


def check_count(name: str, value: int | None) -> None:
    """Refuse what is neither None nor a whole number from 1."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InvalidInput(expected=f"{name} an integer of at least 1", got=repr(value))


def deadline(budget: float | None) -> float:
    """Seconds from now as a reading of ``time.monotonic()``; None: never."""
    if budget is None:
        return math.inf
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not budget > 0:
        raise InvalidInput(expected="a budget above 0 seconds", got=repr(budget))
    return time.monotonic() + budget


def _check_loss_kind(loss: Loss, kind: str) -> None:
    if kind == "fisher" and loss.no_fisher:
        raise InvalidInput(
            expected='loss="squared", "cross_entropy", nn.MSELoss() or nn.CrossEntropyLoss() for kind="fisher"',
            got=f"{loss.name}: {loss.no_fisher}",
            instead='use kind="ggn" or "hessian"',
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """Checked: a model, batches, a loss, which matrix and which statistics.

    Attributes
    ----------
    function : ModelFunction
    batches : Batches
    output_shape : tuple of int
        Of one sample.
    loss : Loss
    kind, statistics : str
    seed : int
    assumes : tuple of str
        What the numbers rest on beside these, in words.
    """

    function: ModelFunction
    batches: Batches
    output_shape: tuple[int, ...]
    loss: Loss
    kind: str
    statistics: str
    seed: int
    assumes: tuple[str, ...] = ()

    @property
    def like(self) -> Tensor:
        """An empty tensor of the dtype and on the device of parameter vectors."""
        return torch.empty(0, dtype=self.function.dtype, device=self.function.device)

    @property
    def outputs(self) -> int:
        """N = samples × outputs of each."""
        return self.batches.samples * math.prod(self.output_shape)

    @property
    def has_root(self) -> bool:
        """Whether the matrix is known as AᵀA: Gauss-Newton, of a loss whose output Hessian has a root."""
        return self.kind != "hessian" and not isinstance(self.loss, GeneralLoss)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While open the model uses the chosen statistics; afterwards it is as it was found."""
        model = self.function.model
        with (
            untouched(model, self.seed, self.function.device),
            batch_norm_statistics(model, self.statistics, self.batches.ghost_batch_size),
        ):
            yield

    def operator(self) -> MeanOperator:
        """The matrix by its products, which must be taken in place."""
        return MeanOperator(self.function.size, self.batches, self._ways())

    def _ways(self) -> tuple[Callable[[Batch], Linearisation], ...]:
        """The ways to linearise a batch, the better first."""
        if self.kind == "hessian":
            return (partial(_hessian, self.function, self.loss),)
        return tuple(partial(_gauss_newton, self.function, self.loss, way) for way in WAYS)


def _hessian(function: ModelFunction, loss: Loss, batch: Batch) -> Linearisation:
    return Hessian(function, batch.like(function.parameters[0]), loss)


def _gauss_newton(function: ModelFunction, loss: Loss, way: type[Tangents], batch: Batch) -> Linearisation:
    return GaussNewton(function, batch.like(function.parameters[0]), loss, way)


@contextmanager
def prepared(
    model: nn.Module,
    batches: Any,
    loss: Any,
    kind: str,
    statistics: str,
    seed: int,
    ghost_batch_size: int | None = None,
) -> Iterator[Prepared]:
    """Check everything that `curvature` is given, and hold the model in place while open.

    Raises
    ------
    InvalidInput
        Whatever cannot be measured: one line with what was expected, what came and what to do.
    """
    check_choice("kind", kind, KINDS)
    recognised = recognise(loss)
    _check_loss_kind(recognised, kind)
    function = ModelFunction.of(model, seed)
    with (
        untouched(function.model, seed, function.device),
        batch_norm_statistics(function.model, statistics, ghost_batch_size),
    ):
        read = read_batches(batches, ghost_batch_size=ghost_batch_size)
        function, recognised = fitted(function, recognised, read)
        output_shape = survey(function, read, recognised, statistics)
        assumes = assumptions(function, read)
        yield Prepared(function, read, output_shape, recognised, kind, statistics, seed, assumes)
