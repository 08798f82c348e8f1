"""What all members of a stack compute at once: losses, gradients, evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from normfield.data.batching import Pair
from normfield.data.random_state import seeded_random_state
from normfield.samples import Samples, arguments, mapped
from normfield.train.ensemble.stack import Named, Stack
from normfield.train.evaluation import batch_mode, share_of_hits, training_mode
from normfield.train.losses import LossFunction

_SEED = 0


@dataclass(frozen=True)
class Shares:
    """Mean loss of each member over some batches, and its share of hits, None without labels."""

    losses: list[float]
    accuracies: list[float | None]


class Together:
    """Losses and gradients of all members of a stack at once.

    Parameters
    ----------
    stack : Stack
    loss : callable
        (outputs, targets) -> scalar.
    shared : bool
        Whether all members take the same batch, (B, …), or each its own, (K, B, …).
    """

    def __init__(self, stack: Stack, loss: LossFunction, shared: bool) -> None:
        self._module, self._loss = stack.module, loss
        batch = None if shared else 0
        self._slopes = vmap(
            grad_and_value(self._value), in_dims=(0, 0, 0, batch, batch), randomness="different"
        )
        self._evaluated = vmap(self._evaluation, in_dims=(0, 0, None, None, None), randomness="different")

    def slopes(self, stack: Stack, inputs: Samples, targets: Samples) -> tuple[Named, Tensor]:
        """∂L/∂θ of every member and its loss (K,) at one batch, buffers updated as in training."""
        with self._in(training_mode):
            gradients, losses = self._slopes(stack.trained, stack.kept, stack.buffers, inputs, targets)
        return gradients, losses.detach()

    def measured(self, stack: Stack, batches: Sequence[Pair], labelled: bool) -> Shares:
        """Each member's mean loss over the same batches and share of hits, in batch mode, buffers as they were."""
        with self._in(batch_mode), seeded_random_state(_SEED), torch.no_grad():
            found = [
                self._evaluated(stack.trained | stack.kept, _copied(stack.buffers), inputs, targets, labelled)
                for inputs, targets in batches
            ]
        losses, hits = zip(*found, strict=True)
        return Shares(
            torch.stack(losses).mean(0).tolist(),
            torch.stack(hits).mean(0).tolist() if labelled else [None] * stack.members,
        )

    @contextmanager
    def _in(self, mode: Callable[[nn.Module], Any]) -> Iterator[None]:
        with mode(self._module):
            yield

    def _forward(self, values: Named, buffers: Named, inputs: Samples) -> Any:
        positional, keyword = arguments(self._module, inputs)
        return functional_call(self._module, (values, buffers), tuple(positional), dict(keyword))

    def _value(
        self, trained: Named, kept: Named, buffers: Named, inputs: Samples, targets: Samples
    ) -> Tensor:
        return self._loss(self._forward(trained | kept, buffers, inputs), targets)

    def _evaluation(
        self, values: Named, buffers: Named, inputs: Samples, targets: Samples, labelled: bool
    ) -> tuple[Tensor, Tensor]:
        """Loss, and share of hits where there are labels."""
        outputs = self._forward(values, buffers, inputs)
        loss = self._loss(outputs, targets)
        return loss, share_of_hits(outputs, targets) if labelled else loss


def _copied(buffers: Named) -> Named:
    return {name: buffer.clone() for name, buffer in buffers.items()}


def gathered(values: Samples, orders: Tensor) -> Samples:
    """Each member's samples (K, B, …) by an index (K, B) into the data."""
    return mapped(values, lambda tensor: tensor[orders])
