"""Parameters and buffers of networks of one shape, one above the other, and what all compute at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from normfield.errors import InvalidInput
from normfield.samples import Samples, arguments, mapped
from normfield.train.evaluation import batch_mode, training_mode
from normfield.train.losses import LossFunction

Named = dict[str, Tensor]


@dataclass(eq=False)
class Stack:
    """K networks: one module that says how they compute, and each tensor of theirs as (K, …).

    Attributes
    ----------
    module : nn.Module
        A copy of the first member; its own values are not used.
    trained, kept, buffers : dict of name to Tensor
        Parameters that take gradients, those that do not, and buffers; all (K, …).
    """

    module: nn.Module
    trained: Named
    kept: Named
    buffers: Named

    @property
    def members(self) -> int:
        """K."""
        return len(next(iter(self.trained.values())))

    def only(self, chosen: Tensor) -> Stack:
        """The members that an index or a mask (K,) chooses."""
        return Stack(
            self.module,
            *(
                {name: t[chosen] for name, t in group.items()}
                for group in (self.trained, self.kept, self.buffers)
            ),
        )

    def write_back(self, modules: Sequence[nn.Module]) -> None:
        """Copy each member's values into a module of its own."""
        with torch.no_grad():
            for i, module in enumerate(modules):
                values = dict(module.named_parameters()) | dict(module.named_buffers())
                for name, stacked in (self.trained | self.kept | self.buffers).items():
                    values[name].copy_(stacked[i])


def stacked(modules: Sequence[nn.Module]) -> Stack:
    """The stack of some modules.

    Raises
    ------
    InvalidInput
        They differ in more than values.
    """
    first = modules[0]
    for i, module in enumerate(modules[1:], 1):
        _require_alike(first, module, i)
    trained = [name for name, parameter in first.named_parameters() if parameter.requires_grad]
    parameters = [dict(module.named_parameters()) for module in modules]
    buffers = [dict(module.named_buffers()) for module in modules]
    with torch.no_grad():
        return Stack(
            copy.deepcopy(first),
            {name: torch.stack([own[name] for own in parameters]) for name in trained},
            {
                name: torch.stack([own[name] for own in parameters])
                for name in parameters[0]
                if name not in trained
            },
            {name: torch.stack([own[name] for own in buffers]) for name in buffers[0]},
        )


def _require_alike(first: nn.Module, other: nn.Module, i: int) -> None:
    """Refuse modules of other layers, shapes, types or modes."""
    one, two = _signature(first), _signature(other)
    if one != two:
        differs = next(
            (name for name in one if one.get(name) != two.get(name)), next(iter(two.keys() - one.keys()), "")
        )
        raise InvalidInput(
            expected="members of one shape",
            got=f"member {i} with {differs} {two.get(differs)} where member 0 has {one.get(differs)}",
            instead="train members of different shapes in ensembles of their own",
        )


def _signature(module: nn.Module) -> dict[str, Any]:
    values = dict(module.named_parameters()) | dict(module.named_buffers())
    shapes: dict[str, Any] = {
        name: (tuple(t.shape), str(t.dtype), str(t.device), t.requires_grad) for name, t in values.items()
    }
    kinds = {f"module {name}": (type(part).__name__, part.training) for name, part in module.named_modules()}
    return shapes | kinds


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
        self._values = vmap(self._value, in_dims=(0, 0, 0, None, None), randomness="different")
        self._outputs = vmap(self._forward, in_dims=(0, 0, None), randomness="different")

    def slopes(self, stack: Stack, inputs: Samples, targets: Samples) -> tuple[Named, Tensor]:
        """∂L/∂θ of every member and its loss (K,) at one batch, buffers updated as in training."""
        with self._in(training_mode):
            gradients, losses = self._slopes(stack.trained, stack.kept, stack.buffers, inputs, targets)
        return gradients, losses.detach()

    def mean_losses(self, stack: Stack, batches: Sequence[tuple[Samples, Samples]]) -> Tensor:
        """Each member's mean loss over the same batches (K,), in batch mode, buffers as they were."""
        with self._in(batch_mode), torch.no_grad():
            total = sum(
                self._values(stack.trained, stack.kept, _copied(stack.buffers), inputs, targets)
                for inputs, targets in batches
            )
        return torch.as_tensor(total) / len(batches)

    def accuracies(self, stack: Stack, batches: Sequence[tuple[Samples, Any]]) -> Tensor:
        """Each member's share of samples whose largest output is their class (K,)."""
        hits = []
        with self._in(batch_mode), torch.no_grad():
            for inputs, targets in batches:
                outputs = self._outputs(stack.trained | stack.kept, _copied(stack.buffers), inputs)
                classes = targets.argmax(1) if targets.is_floating_point() else targets
                hits.append((outputs.argmax(2) == classes).double().flatten(1).mean(1))
        return torch.stack(hits).mean(0)

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


def _copied(buffers: Named) -> Named:
    return {name: buffer.clone() for name, buffer in buffers.items()}


def gathered(values: Samples, orders: Tensor) -> Samples:
    """Each member's samples (K, B, …) by an index (K, B) into the data."""
    return mapped(values, lambda tensor: tensor[orders])
