"""The second reading of a description: a PyTorch module drawn at initialisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import nn
from torch.nn.utils import skip_init

from normfield.errors import InvalidInput
from normfield.nets.modules import Pointwise, ResidualBlock
from normfield.nets.notes import Drawn, leave_note
from normfield.network import (
    Activation,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAveragePool,
    Layer,
    LayerNorm,
    MaxPool,
    Network,
    Residual,
    RMSNorm,
    Shape,
)
from normfield.seeds import whole_seed


def build(
    network: Network,
    seed: int = 0,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> nn.Module:
    """The network as a PyTorch module, drawn in the standard parametrisation.

    W ~ N(0, σ_w²/fan_in), b ~ N(0, σ_b²), γ and β constant. The draw is made in float64 on the CPU from
    ``seed`` alone, so that one seed gives the same network on every device and, up to rounding, in every
    dtype; torch's global random state is not touched.

    Parameters
    ----------
    network
        The description.
    seed
        Of the weights and biases.
    device, dtype
        Where the module lives and its floating-point type.

    Returns
    -------
    torch.nn.Sequential
        One module per layer, in training mode; ``nn.BatchNorm1d/2d`` with default running statistics. Each
        keeps a note of its layer (a plain attribute), by which `describe` goes back exactly.

    Raises
    ------
    InvalidInput
        ``network`` is not a Network, the seed not a whole number from 0 to 2**63 - 1, or the dtype not a
        real floating-point one.

    Examples
    --------
    >>> from normfield.network import mlp
    >>> build(mlp(4, 8, 2, 3), seed=0)(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """
    if not isinstance(network, Network):
        raise InvalidInput(
            expected="a Network", got=type(network).__name__, instead="describe it with nf.mlp or nf.Network"
        )
    seed = whole_seed(seed)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InvalidInput(expected="a real floating-point dtype, e.g. torch.float32", got=repr(dtype))
    drawing = _Drawing(network, torch.Generator().manual_seed(seed))
    return _chain(network.layers, network.input_shape, drawing).to(device=device, dtype=dtype)


@dataclass(frozen=True)
class _Drawing:
    """What a layer's module needs beyond the layer: the network's variances and the generator."""

    network: Network
    generator: torch.Generator

    def note(self, layer: Layer, shape: Shape) -> Drawn:
        """What `describe` reads again."""
        return Drawn(layer, shape, self.network.weight_variance, self.network.bias_variance)

    def fill(self, module: nn.Module, layer: Dense | Conv) -> nn.Module:
        """W ~ N(0, σ_w²/fan_in), b ~ N(0, σ_b²), the layer's variances before the network's."""
        weight_variance, bias_variance = self.network.variances(layer)
        weight = module.get_parameter("weight")
        with torch.no_grad():
            weight.normal_(0, math.sqrt(weight_variance / weight[0].numel()), generator=self.generator)
            if layer.bias:
                module.get_parameter("bias").normal_(0, math.sqrt(bias_variance), generator=self.generator)
        return module


def _chain(layers: Sequence[Layer], shape: Shape, drawing: _Drawing) -> nn.Sequential:
    modules = []
    for layer in layers:
        modules.append(leave_note(_module(layer, shape, drawing), drawing.note(layer, shape)))
        shape = layer.output_shape(shape)
    return nn.Sequential(*modules)


@singledispatch
def _module(layer: Layer, shape: Shape, drawing: _Drawing) -> nn.Module:
    raise InvalidInput(
        expected="a layer that has a PyTorch form", got=type(layer).__name__, instead="register one for it"
    )


@_module.register
def _(layer: Dense, shape: Shape, drawing: _Drawing) -> nn.Module:
    linear = skip_init(nn.Linear, shape[0], layer.width, bias=layer.bias, dtype=torch.float64)
    return drawing.fill(linear, layer)


@_module.register
def _(layer: Conv, shape: Shape, drawing: _Drawing) -> nn.Module:
    conv = skip_init(
        nn.Conv2d,
        shape[0],
        layer.channels,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        bias=layer.bias,
        dtype=torch.float64,
    )
    return drawing.fill(conv, layer)


@_module.register
def _(layer: BatchNorm, shape: Shape, drawing: _Drawing) -> nn.Module:
    form = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
    return _with_scale(form(shape[0], eps=layer.eps, dtype=torch.float64), layer.gamma, layer.beta)


@_module.register
def _(layer: LayerNorm, shape: Shape, drawing: _Drawing) -> nn.Module:
    return _with_scale(nn.LayerNorm(list(shape), eps=layer.eps, dtype=torch.float64), layer.gamma, layer.beta)


@_module.register
def _(layer: RMSNorm, shape: Shape, drawing: _Drawing) -> nn.Module:
    return _with_scale(nn.RMSNorm(list(shape), eps=layer.eps, dtype=torch.float64), layer.gamma, None)


@_module.register
def _(layer: Activation, shape: Shape, drawing: _Drawing) -> nn.Module:
    return Pointwise(layer.row)


@_module.register
def _(layer: Flatten, shape: Shape, drawing: _Drawing) -> nn.Module:
    return nn.Flatten()


@_module.register
def _(layer: AveragePool, shape: Shape, drawing: _Drawing) -> nn.Module:
    return nn.AvgPool2d(layer.window, layer.stride, layer.padding)  # type: ignore[arg-type]


@_module.register
def _(layer: MaxPool, shape: Shape, drawing: _Drawing) -> nn.Module:
    return nn.MaxPool2d(layer.window, layer.stride, layer.padding)  # type: ignore[arg-type]


@_module.register
def _(layer: GlobalAveragePool, shape: Shape, drawing: _Drawing) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


@_module.register
def _(layer: Residual, shape: Shape, drawing: _Drawing) -> nn.Module:
    return ResidualBlock(_chain(layer.branch, shape, drawing), _chain(layer.shortcut, shape, drawing))


def _with_scale(norm: nn.Module, gamma: float, beta: float | None) -> nn.Module:
    nn.init.constant_(norm.get_parameter("weight"), gamma)
    if beta is not None:
        nn.init.constant_(norm.get_parameter("bias"), beta)
    return norm
