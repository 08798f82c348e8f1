"""The loss of batches as a function of the parameters, with its gradient: what walks and noise are measured on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normfield.measure.subject.as_trained import as_trained
from normfield.measure.subject.batches import Batch, Batches, read_batches
from normfield.measure.subject.function import ModelFunction, differentiable
from normfield.measure.subject.losses import Loss, recognise
from normfield.measure.subject.survey import assumptions, fitted, survey

Pieces = tuple[Tensor, ...]
"""A parameter vector in the parameters' shapes."""
ENTRIES_TOGETHER = 2**17
"""How many entries of a vector are copied to float64 at a time."""


def squared_norm(pieces: Sequence[Tensor]) -> float:
    """‖v‖² of a vector in pieces, summed in float64."""
    parts = (part for piece in pieces for part in _parts(piece))
    return float(sum(part.double().square().sum() for part in parts))


def distance(pieces: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """‖v − w‖ of vectors in pieces, summed in float64."""
    pairs = (
        pair
        for piece, other in zip(pieces, others, strict=True)
        for pair in zip(_parts(piece), _parts(other), strict=True)
    )
    return math.sqrt(float(sum((one.double() - other.double()).square().sum() for one, other in pairs)))


def _parts(piece: Tensor) -> Sequence[Tensor]:
    """A tensor's entries, some at a time and never copied, so that float64 copies of them are small."""
    rows = piece.detach().reshape(1) if piece.dim() == 0 else piece.detach()
    return rows.split(max(1, ENTRIES_TOGETHER * len(rows) // max(1, rows.numel())))


@dataclass(frozen=True, eq=False)
class Slope:
    """A loss and its gradient at one point.

    Attributes
    ----------
    value : float
    gradient : tuple of Tensor
        In the parameters' shapes.
    """

    value: float
    gradient: Pieces


@dataclass(frozen=True, eq=False)
class Objective:
    """θ ↦ ℓ(θ) on batches, checked; to be used while `objective` is open.

    Attributes
    ----------
    function : ModelFunction
    batches : Batches
    loss : Loss
    statistics : str
    assumes : tuple of str
        What the numbers rest on beside these, in words.
    """

    function: ModelFunction
    batches: Batches
    loss: Loss
    statistics: str
    assumes: tuple[str, ...] = ()

    def value(self, batch: Batch, parameters: Sequence[Tensor]) -> Tensor:
        """ℓ of one batch as a scalar tensor."""
        outputs = self.function(batch.inputs, parameters)
        return self.loss.value(outputs, self.loss.read_targets(outputs, batch.targets))

    def slope(self, batch: Batch, parameters: Sequence[Tensor] | None = None) -> Slope:
        """ℓ and ∇ℓ of one batch, at the model's own parameters or at others.

        Raises
        ------
        InvalidInput
            An operation has no derivative.
        """
        given = self.function.parameters if parameters is None else parameters
        leaves = tuple(p.detach().requires_grad_() for p in given)
        value = self.value(batch.like(leaves[0]), leaves)
        return Slope(float(value.detach()), _gradient(value, leaves))

    def mean_slope(self, parameters: Sequence[Tensor] | None = None) -> Slope:
        """ℓ and ∇ℓ of all batches, each with its own statistics and as heavy as it has samples."""
        value, total = 0.0, None
        for batch in self.batches.items:
            found, share = self.slope(batch, parameters), batch.samples / self.batches.samples
            value += share * found.value
            scaled = tuple(share * piece for piece in found.gradient) if share < 1 else found.gradient
            total = scaled if total is None else tuple(a + b for a, b in zip(total, scaled, strict=True))
        return Slope(value, total or ())


def _gradient(value: Tensor, parameters: Pieces) -> Pieces:
    """∇ value, or one line where an operation has none."""
    if not value.requires_grad:
        return tuple(torch.zeros_like(p) for p in parameters)
    with differentiable():
        found = torch.autograd.grad(value, parameters, materialize_grads=True)
    return tuple(piece.to_dense() for piece in found)


@contextmanager
def objective(model: nn.Module, batches: Any, loss: Any, statistics: str, seed: int) -> Iterator[Objective]:
    """Check model, batches, loss and statistics, and hold the model in place while open.

    A model in eval mode is taken in training mode; of one in training mode every submodule stays as it is.

    Raises
    ------
    InvalidInput
        Whatever cannot be measured: one line with what was expected, what came and what to do.
    """
    recognised = recognise(loss)
    function = ModelFunction.of(model, seed)
    with as_trained(function, statistics):
        read = read_batches(batches)
        function, recognised = fitted(function, recognised, read)
        survey(function, read, recognised, statistics)
        yield Objective(function, read, recognised, statistics, assumptions(function, read))
