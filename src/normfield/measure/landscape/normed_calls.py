"""Every call of a batch norm in one forward pass, with its input and its output as places to differentiate at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.measure.subject.layer_calls import numbered


@dataclass(frozen=True, eq=False)
class NormedCall:
    """One call of a batch norm: input y and output z (m, C, …) with their graph, γ (C,), ε."""

    name: str
    inputs: Tensor
    outputs: Tensor
    gamma: Tensor
    eps: float


def by_unit(values: Tensor) -> Tensor:
    """(m, C, …) as float64 rows (C, m′), one for each unit, samples and positions side by side."""
    return values.detach().double().transpose(0, 1).flatten(1)


def like_call(rows: Tensor, call: NormedCall, units: Tensor) -> Tensor:
    """Rows of some units in the place of theirs in an array of the call's shape, 0 elsewhere."""
    shape = call.inputs.shape
    found = torch.zeros(shape[1], call.inputs[:, 0].numel(), dtype=rows.dtype, device=rows.device)
    found[units] = rows
    return found.reshape(shape[1], shape[0], *shape[2:]).transpose(0, 1).to(call.inputs.dtype)


def _gamma(layer: _BatchNorm) -> Tensor:
    if layer.weight is None:
        return torch.ones(layer.num_features, dtype=torch.float64)
    return layer.weight.detach().double()


@contextmanager
def normed_calls(layers: Mapping[str, _BatchNorm]) -> Iterator[list[NormedCall]]:
    """While open, calls of these batch norms are kept in order.

    A layer gets a copy of its input and its output goes on as a copy, so that no operation in place, nor any other use
    of either, is part of what is kept.
    """
    inputs: list[Tensor] = []
    calls: list[NormedCall] = []

    def before(_: Any, positional: tuple[Any, ...], keyword: dict[str, Any]) -> tuple[tuple[Any, ...], dict]:
        given = positional[0] if positional else keyword["input"]
        copied = given.clone()
        inputs.append(copied if copied.requires_grad else copied.requires_grad_())
        return (inputs[-1],), {}

    def after(name: str) -> Any:
        def keep(layer: _BatchNorm, _: Any, output: Tensor) -> Tensor:
            given = inputs.pop()
            calls.append(NormedCall(name, given, output, _gamma(layer).to(given.device), layer.eps))
            return output.clone()

        return keep

    handles = [layer.register_forward_pre_hook(before, with_kwargs=True) for layer in layers.values()]
    handles += [layer.register_forward_hook(after(name)) for name, layer in layers.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def named_apart(calls: list[NormedCall]) -> list[str]:
    """The calls' names, with the call's number where a layer is called more than once."""
    return numbered([call.name for call in calls])
