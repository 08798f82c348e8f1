"""Gradient descent that halts now and then, so that something can be measured between two steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normfield.data import DataSet
from normfield.train.descent import HeavyBall

Batch = tuple[Tensor, Tensor]
LossFunction = Callable[[Tensor, Tensor], Tensor]


def halts(
    model: nn.Module,
    batches: Iterator[Batch],
    at: Sequence[int],
    *,
    learning_rate: float,
    momentum: float = 0.0,
    loss: LossFunction = F.cross_entropy,
) -> Iterator[tuple[int, Batch]]:
    """Train a module in place; before each of the steps named, yield its number and the batch that it will take.

    Parameters
    ----------
    model
        In training mode; whoever measures it at a halt leaves it as it was.
    batches
        One for each step.
    at
        Numbers of steps, rising, the first step being 0; training ends at the last, which is not made.
    learning_rate, momentum
        η and μ of θ ← θ − η∇L + μ(θ − θ_prev).
    loss
        (outputs, targets) → scalar.
    """
    ball, wanted = HeavyBall(model, loss, learning_rate, momentum), set(at)
    for step, batch in zip(range(at[-1] + 1), batches, strict=False):
        if step in wanted:
            yield step, batch
        if step < at[-1]:
            ball.step(ball.loss(batch))


def endless_batches(data: DataSet, batch_size: int, seed: int) -> Iterator[Batch]:
    """Batches of one pass after the other, in an order drawn anew for each; a pass's last short one is left out."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from data.batches(batch_size, generator)  # type: ignore[misc]


def evenly(steps: int, halts: int) -> list[int]:
    """Numbers of steps from 0 to ``steps``, evenly spread, both ends among them."""
    return sorted({round(k * steps / (halts - 1)) for k in range(halts)})
