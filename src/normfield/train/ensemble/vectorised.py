"""What all members of a stack compute at once: a step of training, and an evaluation."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from normfield.samples import Samples
from normfield.train.ensemble.optimizers import Rule
from normfield.train.ensemble.rewriting import outputs_of_all
from normfield.train.ensemble.stack import Named, Stack
from normfield.train.evaluation import share_of_hits, training_mode, without_dropout
from normfield.train.losses import LossFunction


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
            slopes = grad_and_value(self._total, has_aux=True)
            gradients, (_, (losses, buffers)) = slopes(stack.trained, stack, inputs, targets)
            self.rule.advance(
                stack.trained, gradients, stack.state, stack.pace["rates"], stack.pace["momenta"]
            )
            for name, buffer in stack.buffers.items():
                buffer.copy_(buffers[name])
            return losses

    def losses(self, stack: Stack, inputs: Samples, targets: Samples) -> tuple[Tensor]:
        """Each member's loss (K,) on one batch, in batch mode, buffers as they were."""
        return (self._losses(stack, inputs, targets)[0],)

    def losses_and_hits(self, stack: Stack, inputs: Samples, targets: Samples) -> tuple[Tensor, Tensor]:
        """The same, and each one's share of hits (K,)."""
        losses, outputs = self._losses(stack, inputs, targets)
        return losses, vmap(share_of_hits, in_dims=(0, None))(outputs, targets)

    def _losses(self, stack: Stack, inputs: Samples, targets: Samples) -> tuple[Tensor, Any]:
        with without_dropout(stack.module), torch.no_grad():
            outputs, _ = self._outputs(stack.trained, stack, inputs, True)
            return vmap(self.loss, in_dims=(0, None))(outputs, targets), outputs

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
