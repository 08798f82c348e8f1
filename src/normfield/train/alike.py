"""What two modules must share to compute alike: everything but the values of their parameters and buffers."""

from __future__ import annotations

import torch
from torch import nn

from normfield.nets.notes import Drawn
from normfield.train.identity import HERE, in_words, tensor_words

# Of nn.Module's own attributes: tensors and submodules are read by name, hooks and flags are no part of a function.
_TORCHS = frozenset(vars(nn.Module())) | {"_is_full_backward_hook", "_version"}


def signature(module: nn.Module) -> dict[str, str]:
    """What the module computes, but for values: shapes and types of tensors, classes, modes and plain attributes.

    Two modules with one signature give the same outputs with the same parameters and buffers: a batch norm's ε, a
    dropout's rate, an activation kept as an attribute are all in it. An attribute that hides its content is like no
    other. A note that `normfield.nets.build` left is not counted.
    """
    found = {name: tensor_words(value) for name, value in _named_tensors(module)}
    for name, part in module.named_modules(remove_duplicate=False):
        kind = type(part)
        found[f"module {name}"] = (
            f"{kind.__module__}.{kind.__qualname__} {'train' if part.training else 'eval'}"
        )
        for attribute, value in sorted(vars(part).items()):
            if attribute not in _TORCHS and not isinstance(value, Drawn):
                found[f"{name}.{attribute}".lstrip(".")] = in_words(value, HERE)
    return found


def _named_tensors(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
