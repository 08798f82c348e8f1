"""The inner loop: heavy-ball steps, watched for divergence and for the clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from normfield.data.batching import Pair
from normfield.samples import apply
from normfield.train.epochs import Epoch
from normfield.train.losses import LossFunction
from normfield.train.prepared import Prepared
from normfield.train.settings import Settings

FINISHED, DIVERGED, CUT_SHORT = "finished", "diverged", "cut short"


@dataclass
class Descent:
    """Where a run stands: the losses of its steps, what was recorded at the end of epochs, and how it ended."""

    losses: list[float]
    status: str = FINISHED
    epochs: list[Epoch] = field(default_factory=list)

    def accepts(self, loss: float, divergence_factor: float) -> bool:
        """Keep a step's loss; False, and diverged, where it is not finite or too far above the first."""
        self.losses.append(loss)
        if not math.isfinite(loss) or loss > divergence_factor * abs(self.losses[0]):
            self.status = DIVERGED
        return self.status == FINISHED


class HeavyBall:
    """θ ← θ − η∇L + μ(θ − θ_prev) on a module's trainable parameters, without touching their ``.grad``.

    These are the steps of ``torch.optim.SGD``, whose first use imports a compiler for more than a second.
    """

    def __init__(self, model: nn.Module, loss: LossFunction, learning_rate: float, momentum: float) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._model, self._loss = model, loss
        self._learning_rate, self._momentum = learning_rate, momentum
        self._velocity = [torch.zeros_like(parameter) for parameter in self.parameters]

    def loss(self, batch: Pair) -> torch.Tensor:
        """Loss of one batch at the present parameters."""
        inputs, targets = batch
        return self._loss(apply(self._model, inputs), targets)

    def step(self, loss: torch.Tensor) -> None:
        """One step down the gradient of the loss."""
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(self.parameters, self._velocity, gradients, strict=True):
                velocity.mul_(self._momentum).add_(gradient)
                parameter.add_(velocity, alpha=-self._learning_rate)

    def is_finite(self) -> bool:
        """Whether every parameter is finite."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters)


def descend(
    ball: HeavyBall,
    prepared: Prepared,
    settings: Settings,
    seed: int,
    deadline: float,
    record: Callable[[int], Epoch] | None = None,
) -> Descent:
    """Pass over the data until the steps are done, the run diverges or the clock runs out.

    What `record` says of an epoch, by its number from 1, is kept at the end of each that the run lived through.
    """
    left = settings.steps or settings.epochs * prepared.steps_per_epoch
    descent = Descent([])
    for batches in prepared.passes(seed):
        _one_pass(ball, batches, left, descent, settings.divergence_factor, deadline)
        left -= len(batches)
        if descent.status == FINISHED and not ball.is_finite():
            descent.status = DIVERGED
        if record is not None and descent.status == FINISHED:
            descent.epochs.append(record(len(descent.epochs) + 1))
        if left <= 0 or descent.status != FINISHED:
            break
    return descent


def _one_pass(
    ball: HeavyBall, batches: Sequence[Pair], most: int, descent: Descent, factor: float, deadline: float
) -> None:
    """Step through one pass, or as much of it as is left."""
    for i in range(min(most, len(batches))):
        if time.monotonic() > deadline:
            descent.status = CUT_SHORT
            return
        loss = ball.loss(batches[i])
        if not descent.accepts(loss.item(), factor):
            return
        ball.step(loss)
