"""What a caller's own instrument may do to parameters, gradients and hooks, undone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_CONTAINERS = (dict, OrderedDict, set)
_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


@contextmanager
def same_tensors(model: nn.Module) -> Iterator[None]:
    """Parameters, buffers, gradients and hooks are put back, each whatever befalls another.

    Inside, every gradient is a copy, so that the instrument sees the training's and cannot write into it.
    """
    with ExitStack() as stack:  # runs every callback, also where one of them raises
        for module in model.modules():
            stack.callback(_containers_put_back, [(each, each.copy()) for each in _containers(module)])
        for buffer in model.buffers():
            stack.callback(_values_put_back, buffer, buffer.data, buffer.detach().clone())
        for parameter in model.parameters():
            stack.callback(_undo(parameter))
            parameter.grad = None if parameter.grad is None else parameter.grad.clone()
        yield


def _undo(parameter: Tensor) -> Callable[[], None]:
    """What makes the parameter again what it is now."""
    memory, values, gradient = parameter.data, parameter.detach().clone(), parameter.grad
    required = parameter.requires_grad
    hooks = [(name, _copied(getattr(parameter, name))) for name in _TENSOR_HOOKS]

    def undo() -> None:
        parameter.grad = None  # while dtype, device and shape change
        for name, (before, entries) in hooks:
            _hooks_put_back(parameter, name, before, entries)
        parameter.requires_grad_(required)
        _values_put_back(parameter, memory, values)
        parameter.grad = gradient

    return undo


def _values_put_back(tensor: Tensor, memory: Tensor, values: Tensor) -> None:
    """The memory of before, with its dtype, device and shape, and the values of before in it."""
    with torch.no_grad():
        tensor.data = memory
        if not torch.equal(tensor, values):
            tensor.copy_(values)


def _hooks_put_back(tensor: Tensor, name: str, before: Any, entries: Any) -> None:
    """Empty what was added, since torch keeps hold of it, and put back what there was."""
    now = getattr(tensor, name)
    if now is not None and now is not before:
        now.clear()
    if before is not None:
        _containers_put_back([(before, entries)])
    if now is not before:
        setattr(tensor, name, before)


def _containers(module: nn.Module) -> Iterator[Any]:
    """The module's dicts and sets, among them all of hooks; attributes, buffers and the like are kept elsewhere."""
    return (value for value in vars(module).values() if type(value) in _CONTAINERS)


def _copied(container: Any) -> tuple[Any, Any]:
    return container, None if container is None else container.copy()


def _containers_put_back(kept: list[tuple[Any, Any]]) -> None:
    """The entries of each, in their order; nothing is written where nothing changed."""
    for container, entries in kept:
        same = len(container) == len(entries) and all(
            one is other for one, other in zip(_flat(container), _flat(entries), strict=True)
        )
        if not same:
            container.clear()
            container.update(entries)


def _flat(container: Any) -> list[Any]:
    """Keys and values in order, or the members of a set."""
    return [*container.keys(), *container.values()] if isinstance(container, dict) else [*container]
