"""What all members of a stack compute at once: a step of training, and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from normfield.data.batching import Pair
from normfield.data.random_state import seeded_random_state
from normfield.samples import Samples
from normfield.train.ensemble.optimizers import Rule
from normfield.train.ensemble.rewriting import outputs_of_all
from normfield.train.ensemble.stack import Named, Stack
from normfield.train.evaluation import batch_mode, share_of_hits, training_mode
from normfield.train.losses import LossFunction

_SEED = 0


@dataclass(frozen=True)
class Shares:
    """Mean loss of each member over some batches, and its share of hits, None without labels."""

    losses: list[float]
    accuracies: list[float | None]


@dataclass(frozen=True, eq=False)
class Together:
    """Losses and steps of all members of a stack at once.

    Parameters
    ----------
    loss : callable
        (outputs, targets) -> scalar.
    rule : Rule
    shared : bool
        Whether all members take the same batch, (B, …), or each its own, (K, B, …).
    mixed : bool
        Whether matrix products are taken in bfloat16, of weights that stay in float32.
    """

    loss: LossFunction
    rule: Rule
    shared: bool
    mixed: bool

    def step(self, stack: Stack, inputs: Samples, targets: Samples) -> Tensor:
        """One step of training of every member, in place; the losses (K,) before it."""
        with training_mode(stack.module), torch.no_grad():
            return self.pure_step(stack, inputs, targets)

    def pure_step(self, stack: Stack, inputs: Samples, targets: Samples) -> Tensor:
        """The same in the modes that the stack's module is in."""
        slopes = grad_and_value(self._total, has_aux=True)
        gradients, (_, (losses, buffers)) = slopes(stack.trained, stack, inputs, targets)
        self.rule.advance(stack.trained, gradients, stack.state, stack.pace["rates"], stack.pace["momenta"])
        for name, buffer in stack.buffers.items():
            buffer.copy_(buffers[name])
        return losses

    def measured(self, stack: Stack, batches: Sequence[Pair], labelled: bool) -> Shares:
        """Each member's mean loss over the same batches and share of hits, in batch mode, buffers as they were."""
        with batch_mode(stack.module), seeded_random_state(_SEED), torch.no_grad():
            found = [self._evaluated(stack, inputs, targets, labelled) for inputs, targets in batches]
        losses, hits = zip(*found, strict=True)
        return Shares(
            torch.stack(losses).mean(0).tolist(),
            torch.stack(hits).mean(0).tolist() if labelled else [None] * stack.members,
        )

    def _evaluated(
        self, stack: Stack, inputs: Samples, targets: Samples, labelled: bool
    ) -> tuple[Tensor, Tensor]:
        """Loss, and share of hits where there are labels."""
        outputs, _ = self._outputs(stack.trained, stack, inputs, True)
        losses = vmap(self.loss, in_dims=(0, None))(outputs, targets)
        return losses, vmap(share_of_hits, in_dims=(0, None))(outputs, targets) if labelled else losses

    def _total(
        self, trained: Named, stack: Stack, inputs: Samples, targets: Samples
    ) -> tuple[Tensor, tuple[Tensor, Named]]:
        """The sum of the members' losses, of which each one's gradient is its own; beside it losses and buffers."""
        outputs, buffers = self._outputs(trained, stack, inputs, self.shared)
        losses = vmap(self.loss, in_dims=(0, None if self.shared else 0), randomness="different")(
            outputs, targets
        )
        return losses.sum(), (losses, buffers)

    def _outputs(self, trained: Named, stack: Stack, inputs: Samples, shared: bool) -> tuple[Any, Named]:
        with self._precision(next(iter(trained.values())).device.type):
            outputs, buffers = outputs_of_all(
                stack.module, trained | stack.kept, stack.buffers, inputs, shared
            )
        whole = self.mixed and isinstance(outputs, Tensor)
        return outputs.float() if whole else outputs, buffers

    def _precision(self, device: str) -> AbstractContextManager[Any]:
        return torch.autocast(device, torch.bfloat16, enabled=self.mixed, cache_enabled=False)
