"""Parameters and buffers of networks of one shape, one above the other."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.train.alike import signature

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
    state : dict of name to Tensor
        The optimizer's, (K, …).
    pace : dict of name to Tensor
        "rates" and "momenta", (K,) in float64.
    """

    module: nn.Module
    trained: Named
    kept: Named
    buffers: Named
    state: Named = field(default_factory=dict)
    pace: Named = field(default_factory=dict)

    @property
    def members(self) -> int:
        """K."""
        return len(next(iter(self.trained.values())))

    @property
    def parts(self) -> tuple[Named, Named, Named, Named, Named]:
        """All that it holds of its members."""
        return self.trained, self.kept, self.buffers, self.state, self.pace

    def only(self, chosen: Tensor | slice) -> Stack:
        """The members that an index or a slice chooses; a slice gives views, so that what changes it changes this."""
        return Stack(self.module, *({name: t[chosen] for name, t in part.items()} for part in self.parts))

    def as_module(self, i: int) -> nn.Module:
        """The stack's module with the values of its i-th member, until it is asked for another."""
        self.write(i, self.module)
        return self.module

    def write(self, i: int, module: nn.Module) -> None:
        """Copy the values of the i-th member into a module."""
        values = dict(module.named_parameters()) | dict(module.named_buffers())
        with torch.no_grad():
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
    """Refuse modules that differ in more than values: in layers, shapes, types, modes or plain attributes."""
    one, two = signature(first), signature(other)
    if one != two:
        differs = next(
            (name for name in one if one.get(name) != two.get(name)), next(iter(two.keys() - one.keys()), "")
        )
        raise InvalidInput(
            expected="members of one shape",
            got=f"member {i} with {differs} {two.get(differs)} where member 0 has {one.get(differs)}",
            instead="train members of different shapes in ensembles of their own",
        )
