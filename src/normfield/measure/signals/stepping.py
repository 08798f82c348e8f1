"""Signals before and after each of the first steps, at parameters of their own: the module's stay as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.signals.by_layer import measured
from normfield.measure.signals.layer_result import LayerSignals
from normfield.measure.signals.opened import NotFinite, in_training, loss_of, outputs_of
from normfield.measure.signals.step_result import COMPLETE, FirstSteps
from normfield.measure.subject.batches import Batches, read_batches
from normfield.measure.subject.function import ModelFunction, differentiable
from normfield.measure.subject.losses import recognise
from normfield.measure.subject.one_batch import OneBatch
from normfield.measure.subject.untouched import untouched


def first_steps(
    model: nn.Module,
    batches: Any,
    loss: Any = "squared",
    *,
    learning_rate: float,
    momentum: float = 0.0,
    steps: int = 1,
    statistics: str = "batch",
    seed: int = 0,
) -> FirstSteps:
    """Signals and gradients by layer before training and after each of its first steps [Yang, Fig. 3].

    The t-th step is SGD's on the t-th batch, v ← μv + ∇ℓ, θ ← θ − ηv, beginning again where batches run out; after
    each one the signals are those of the first batch, so that only the weights differ. Steps are taken on copies of
    the parameters.

    Parameters
    ----------
    model : nn.Module
        Left as it is found. In eval mode it is taken in training mode.
    batches : pair (inputs, targets), iterable of pairs, or DataLoader
        A last short batch is left out.
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
    learning_rate, momentum : float
        η > 0 and 0 ≤ μ < 1.
    steps : int
        How many.
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use; running ones stay where they are.
    seed : int
        Of dropout's masks, which are the same at every step, and of a shuffling loader.

    Returns
    -------
    FirstSteps
        Ends early, and says so, where a step led to a loss that is not finite.

    Raises
    ------
    InvalidInput
        What `signals` refuses; a learning rate, momentum or number of steps out of range.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> batch = (torch.ones(4, 1), torch.zeros(4, 1))
    >>> found = first_steps(model, batch, learning_rate=0.5, steps=2)
    >>> [after.layers[0].weight for after in found.signals], model.weight.item()
    ([1.0, 0.5, 0.25], 1.0)
    """
    _check(learning_rate, momentum, steps)
    recognised, function = recognise(loss), ModelFunction.of(model, seed)
    read = _read(function, batches)
    with in_training(function, statistics, min(read.items, key=lambda item: item.samples)):
        like = function.parameters[0]
        subjects = [OneBatch(function, batch.like(like), recognised) for batch in read.items]
        found, status = _stepped(subjects, learning_rate, momentum, steps, statistics)
    return FirstSteps(
        tuple(found), learning_rate, momentum, recognised.name, statistics, len(subjects), status
    )


def _check(learning_rate: float, momentum: float, steps: int) -> None:
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, int | float):
        raise InvalidInput(expected="a learning_rate above 0", got=repr(learning_rate))
    if not 0 < learning_rate < math.inf:
        raise InvalidInput(expected="a learning_rate above 0", got=f"{learning_rate}")
    if isinstance(momentum, bool) or not isinstance(momentum, int | float) or not 0 <= momentum < 1:
        raise InvalidInput(expected="a momentum from 0 to below 1", got=repr(momentum))
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InvalidInput(expected="steps as a whole number of at least 1", got=repr(steps))


def _read(function: ModelFunction, batches: Any) -> Batches:
    """Batches, from a shuffling loader by the seed."""
    with untouched(function.model, function.seed, function.device):
        return read_batches(batches)


def _stepped(
    subjects: Sequence[OneBatch], learning_rate: float, momentum: float, steps: int, statistics: str
) -> tuple[list[LayerSignals], str]:
    """Signals of the first batch at the start and after each step, and how it ended."""
    found = [measured(subjects[0], statistics)]
    parameters = subjects[0].function.parameters
    velocity = [torch.zeros_like(parameter) for parameter in parameters]
    for step in range(1, steps + 1):
        try:
            gradients = _gradients(_at(subjects[(step - 1) % len(subjects)], parameters))
            for v, gradient in zip(velocity, gradients, strict=True):
                v.mul_(momentum).add_(gradient.to_dense())
            parameters = tuple(
                p.detach() - learning_rate * v for p, v in zip(parameters, velocity, strict=True)
            )
            found.append(measured(_at(subjects[0], parameters), statistics))
        except NotFinite as refusal:
            return found, f"stopped at step {step}: {refusal}"
    return found, COMPLETE


def _at(subject: OneBatch, parameters: Sequence[Tensor]) -> OneBatch:
    """The same at other parameters."""
    leaves = tuple(parameter.detach().requires_grad_() for parameter in parameters)
    return replace(subject, function=replace(subject.function, parameters=leaves))


def _gradients(subject: OneBatch) -> tuple[Tensor, ...]:
    """∂ℓ/∂θ in the parameters' shapes."""
    value = loss_of(subject, outputs_of(subject))
    with differentiable():
        return torch.autograd.grad(
            value, subject.function.parameters, allow_unused=True, materialize_grads=True
        )
