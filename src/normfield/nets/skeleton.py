"""A copy of a module with its structure and no weights, on which the user's forward method may run safely."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from normfield.errors import InvalidInput

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class OneInput(nn.Module):
    """The module as the only part of another, called with one tensor: arguments with defaults keep them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.train(module.training)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.module(inputs)


def skeleton(model: nn.Module) -> nn.Module:
    """A copy whose parameters hold no numbers (device "meta") and which has no hooks.

    Raises
    ------
    InvalidInput
        The module cannot be copied.
    """
    memo: dict[int, Any] = {id(p): _without_numbers(p) for p in model.parameters()}
    for part in model.modules():
        memo |= {id(vars(part)[name]): type(vars(part)[name])() for name in _HOOKS if name in vars(part)}
        memo |= {id(value): value.detach() for value in vars(part).values() if _is_result(value)}
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise InvalidInput(
            expected="a module that copy.deepcopy can copy",
            got=f"{type(error).__name__}: {error}",
            instead="give it without the attribute that cannot be copied",
        ) from error


def _without_numbers(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad)


def _is_result(value: object) -> bool:
    """A tensor that a forward pass left on the module; deepcopy takes leaves only."""
    return isinstance(value, torch.Tensor) and not value.is_leaf
