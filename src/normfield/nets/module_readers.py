"""Modules of torch.nn as layers of a description: their structure, before any weight is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from normfield.nets import plain_layers as plain
from normfield.nets.modules import Pointwise
from normfield.nets.notes import note_on
from normfield.nets.plain_layers import Answer
from normfield.nets.refusals import misfit
from normfield.network import Activation, BatchNorm, Conv, Dense, LayerNorm, RMSNorm, Shape


def is_known(module: nn.Module) -> bool:
    """Whether some class of the module has a reader."""
    return any(kind in _READERS for kind in type(module).__mro__)


def read_module(module: nn.Module, shape: Shape) -> Answer:
    """The layer that a known module is after this shape, without its σ_w², σ_b², γ and β.

    Raises
    ------
    Misfit
        The module takes another shape.
    """
    kind = next(kind for kind in type(module).__mro__ if kind in _READERS)
    if type(module).forward is not kind.forward:
        return f"it changes the forward method of {kind.__name__}"
    return _READERS[kind](module, shape)


def _linear(module: nn.Linear, shape: Shape) -> Answer:
    if len(shape) > 1:
        return f"a linear layer at each position of shape {shape} has no description"
    if shape != (module.in_features,):
        raise misfit(module, f"{module.in_features} features", shape)
    return _computed(module) or Dense(module.out_features, bias=module.bias is not None)


def _conv(module: nn.Conv2d, shape: Shape) -> Answer:
    if len(shape) != 3 or shape[0] != module.in_channels:
        raise misfit(module, f"an image of {module.in_channels} channels", shape)
    if module.groups != 1:
        return f"groups={module.groups}: a description's convolution connects all channels"
    if any(d != 1 for d in module.dilation):
        return f"dilation={module.dilation}: a description's convolution looks at neighbouring positions"
    padding = _padding(module)
    if any(padding) and module.padding_mode != "zeros":
        return f'padding_mode="{module.padding_mode}": a description pads with zeros'
    if isinstance(padding, str):
        return padding
    kernel, stride = (plain.pair(v) for v in (module.kernel_size, module.stride))
    return _computed(module) or Conv(
        module.out_channels, kernel, stride, padding, bias=module.bias is not None
    )


def _padding(module: nn.Conv2d) -> tuple[int, int] | str:
    if module.padding == "valid":
        return 0, 0
    if module.padding != "same":
        return plain.pair(module.padding)
    if any(size % 2 == 0 for size in module.kernel_size):
        return 'padding="same" with an even kernel pads one side more than the other'
    return module.kernel_size[0] // 2, module.kernel_size[1] // 2


def _computed(module: nn.Module) -> str | None:
    """Why the weight is no plain parameter: a parametrisation, weight norm, spectral norm or pruning."""
    if "weight" in module._parameters and not hasattr(module, "parametrizations"):
        return None
    return "its weight is computed from others (weight norm, spectral norm, pruning, a parametrisation)"


def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, shape: Shape) -> Answer:
    if shape[0] != module.num_features or len(shape) != (3 if isinstance(module, nn.BatchNorm2d) else 1):
        raise misfit(module, f"{module.num_features} features", shape)
    return BatchNorm(eps=module.eps)


def _layer_norm(module: nn.LayerNorm, shape: Shape) -> Answer:
    return _over_all_units(module, shape) or LayerNorm(eps=module.eps)


def _rms_norm(module: nn.RMSNorm, shape: Shape) -> Answer:
    return _over_all_units(module, shape) or RMSNorm(eps=_rms_eps(module))


def _rms_eps(module: nn.RMSNorm) -> float:
    """torch adds the spacing of the type's numbers at 1 where no ε was given."""
    if module.eps is not None:
        return module.eps
    return torch.finfo(torch.get_default_dtype() if module.weight is None else module.weight.dtype).eps


def _over_all_units(module: Any, shape: Shape) -> str | None:
    if tuple(module.normalized_shape) == shape:
        return None
    return (
        f"it normalises over {tuple(module.normalized_shape)} of shape {shape}, a description over all units"
    )


def _pool_average(module: nn.AvgPool2d, shape: Shape) -> Answer:
    return plain.average(
        shape,
        module.kernel_size,
        module.stride,
        module.padding,
        module.ceil_mode,
        module.count_include_pad,
        module.divisor_override,
    )


def _pool_maximum(module: nn.MaxPool2d, shape: Shape) -> Answer:
    return plain.maximum(
        shape,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.ceil_mode,
        module.return_indices,
    )


def _flatten(module: nn.Flatten, shape: Shape) -> Answer:
    return plain.flattened(shape, module.start_dim, module.end_dim)


def _unflatten(module: nn.Unflatten, shape: Shape) -> Answer:
    sizes = tuple(module.unflattened_size) if module.dim in (1, -1) and len(shape) == 1 else ()
    return plain.reshaped(shape, -1, (-1, *sizes)) if len(sizes) == 3 else f"it makes {shape} no image"


def _dropout(module: nn.Dropout, shape: Shape) -> Answer:
    if module.p == 0 or not module.training:
        return None
    return f"dropout with p={module.p} is active: call .eval() on it, or set p=0"


def _pointwise(module: Pointwise, shape: Shape) -> Answer:
    note = note_on(module)
    if note is not None and isinstance(note.layer, Activation):
        return note.layer
    return Activation(module.row)


def _leaky(module: nn.LeakyReLU, shape: Shape) -> Answer:
    return plain.leaky_relu(module.negative_slope)


def _elu(module: nn.ELU, shape: Shape) -> Answer:
    return plain.only_with("elu", "alpha", module.alpha)


def _softplus(module: nn.Softplus, shape: Shape) -> Answer:
    return plain.only_with("softplus", "beta", module.beta)


def _gelu(module: nn.GELU, shape: Shape) -> Answer:
    return plain.gelu(module.approximate)


def _named(name: str) -> Callable[[Any, Shape], Answer]:
    return lambda module, shape: Activation(name)


def _passed_on(module: nn.Module, shape: Shape) -> Answer:
    return None


_READERS: dict[type[nn.Module], Callable[[Any, Shape], Answer]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
    nn.AvgPool2d: _pool_average,
    nn.MaxPool2d: _pool_maximum,
    nn.AdaptiveAvgPool2d: lambda module, shape: plain.adaptive_average(shape, module.output_size),
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.Identity: _passed_on,
    nn.Dropout: _dropout,
    nn.Dropout1d: _dropout,
    nn.Dropout2d: _dropout,
    nn.AlphaDropout: _dropout,
    nn.ReLU: _named("relu"),
    nn.LeakyReLU: _leaky,
    nn.Tanh: _named("tanh"),
    nn.GELU: _gelu,
    nn.SiLU: _named("silu"),
    nn.Mish: _named("mish"),
    nn.SELU: _named("selu"),
    nn.Sigmoid: _named("sigmoid"),
    nn.ELU: _elu,
    nn.Softplus: _softplus,
    Pointwise: _pointwise,
}
