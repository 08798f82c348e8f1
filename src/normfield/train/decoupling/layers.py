"""The linear layers of a network whose units are trained one by one, and why others cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from normfield.errors import InvalidInput
from normfield.samples import Samples, apply


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer by the name that it has in its network."""

    name: str
    module: nn.Linear

    @property
    def unit_names(self) -> list[str]:
        """One for each row of the weights."""
        return [f"{self.name}[{i}]" if self.name else f"[{i}]" for i in range(self.module.out_features)]

    def rows(self) -> Tensor:
        """Weights, and biases in the last column where there are any (units, d)."""
        parts = [self.module.weight.detach()]
        if self.module.bias is not None:
            parts.append(self.module.bias.detach()[:, None])
        return torch.cat(parts, 1)

    def write(self, unit: int, row: Tensor) -> None:
        """Give one unit these weights and bias."""
        width = self.module.in_features
        with torch.no_grad():
            self.module.weight[unit] = row[:width]
            if self.module.bias is not None:
                self.module.bias[unit] = row[width]

    def augmented(self, inputs: Tensor) -> Tensor:
        """The layer's inputs (m, d), with a 1 for the bias where there is one."""
        return inputs if self.module.bias is None else torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)


def trained_layers(model: nn.Module, inputs: Samples) -> list[Layer]:
    """The trainable linear layers in the order in which they are called.

    Raises
    ------
    InvalidInput
        Something else is trainable or ties or blurs samples, or a layer is called more than once, or with inputs that
        are no rows of features.
    """
    found = [Layer(name, part) for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    layers = [layer for layer in found if _is_trained(layer)]
    _refuse_parts(model)
    _refuse_other_parameters(model, layers)
    return _in_order(model, layers, inputs)


def _is_trained(layer: Layer) -> bool:
    trainable = {parameter.requires_grad for parameter in layer.module.parameters(recurse=False)}
    if len(trainable) > 1:
        raise InvalidInput(
            expected=f"weight and bias of {layer.name} both trainable or both frozen",
            got="one of them frozen",
            instead="train or freeze both",
        )
    return trainable == {True}


def _refuse_other_parameters(model: nn.Module, layers: list[Layer]) -> None:
    own = [
        id(part) for layer in layers for part in (layer.module.weight, layer.module.bias) if part is not None
    ]
    if len(set(own)) < len(own):
        raise InvalidInput(
            expected="layers with weights of their own",
            got="weights that two layers share",
            instead="untie them",
        )
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in own:
            raise InvalidInput(
                expected="weights and biases of nn.Linear as the only trainable parameters",
                got=f"{name}",
                instead="freeze it, or train with nf.train_ensemble",
            )


def _refuse_parts(model: nn.Module) -> None:
    for name, part in model.named_modules():
        if isinstance(part, _BatchNorm):
            raise InvalidInput(
                expected="a model without batch norm, whose part the lengths and directions take",
                got=f"{type(part).__name__} {name}",
                instead="leave it out",
            )
        if isinstance(part, _DropoutNd) and part.p > 0:
            raise InvalidInput(
                expected="a model that draws nothing",
                got=f"{type(part).__name__} {name}",
                instead="leave it out",
            )


def _in_order(model: nn.Module, layers: list[Layer], inputs: Samples) -> list[Layer]:
    calls: list[tuple[Layer, tuple[int, ...]]] = []

    def note(layer: Layer, _: nn.Module, given: tuple[Any, ...]) -> None:
        calls.append((layer, tuple(given[0].shape)))

    hooks = [layer.module.register_forward_pre_hook(partial(note, layer)) for layer in layers]
    try:
        with torch.no_grad():
            apply(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    for layer in layers:
        _check_called_once(layer, [shape for called, shape in calls if called is layer])
    return [layer for layer, _ in calls]


def _check_called_once(layer: Layer, shapes: list[tuple[int, ...]]) -> None:
    if len(shapes) != 1:
        raise InvalidInput(
            expected=f"{layer.name or 'the layer'} to be called once in a forward pass",
            got=f"{len(shapes)} calls",
            instead="give each call a layer of its own",
        )
    if len(shapes[0]) != 2:
        raise InvalidInput(
            expected=f"inputs of {layer.name or 'the layer'} as rows (samples, features)",
            got=f"shape {shapes[0]}",
            instead="flatten them first",
        )
