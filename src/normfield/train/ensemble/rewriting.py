"""What K modules of one shape put out, written in matrix products of all of them where the layers are known.

Dense layers become batched matrix products, convolutions one convolution in groups, and batch norms are those of
members × channels, laid out so that nothing is copied between them; any other layer goes through ``torch.func.vmap``.
Arrays are (K, samples, …).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from normfield.nets.modules import Pointwise, ResidualBlock
from normfield.samples import Samples, arguments
from normfield.train.ensemble.stack import Named

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(eq=False)
class _Values:
    """Parameters and buffers of all members by name, and the name of each of the module's own; buffers are replaced."""

    named: Mapping[str, Tensor]
    buffers: Named
    names: Mapping[int, str]

    def of(self, own: Tensor) -> Tensor:
        """All members' values (K, …) of one of the module's tensors."""
        name = self.names[id(own)]
        return self.buffers[name] if name in self.buffers else self.named[name]

    def replace(self, own: Tensor, value: Tensor) -> None:
        """A buffer's new values."""
        self.buffers[self.names[id(own)]] = value


def outputs_of_all(
    module: nn.Module, named: Named, buffers: Named, inputs: Samples, shared: bool
) -> tuple[Any, Named]:
    """Every member's outputs, (K, samples, …), and the buffers that follow.

    Parameters
    ----------
    module : nn.Module
        Says how members compute, in its present modes; its values are not used.
    named, buffers : dict of name to Tensor
        Parameters and buffers (K, …); neither is changed.
    inputs : Samples
        (samples, …) where `shared`, else (K, samples, …).
    """
    own = [*module.named_parameters(), *module.named_buffers()]
    values = _Values(named, dict(buffers), {id(tensor): name for name, tensor in own})
    if isinstance(inputs, Tensor) and _is_known(module):
        members = len(next(iter(named.values())))
        inputs = inputs.expand(members, *inputs.shape) if shared else inputs
        return _through(module, inputs, values), values.buffers
    return _vectorised(module, inputs, values, None if shared else 0), values.buffers


def multiplies_first(module: nn.Module) -> bool:
    """Whether inputs meet a matrix product before all else, so that rounding them for it beforehand changes nothing."""
    if type(module) is nn.Sequential and _is_known(module):
        parts = [part for part in module if type(part) is not nn.Flatten]
        return bool(parts) and multiplies_first(parts[0])
    return type(module) in (nn.Linear, nn.Conv2d) and _is_known(module)


def _is_known(part: nn.Module) -> bool:
    """Whether there is a rule for a part, and nobody hangs on it."""
    hooked = part._forward_hooks or part._forward_pre_hooks or part._backward_hooks
    return type(part) in _RULES and not hooked


def _through(part: nn.Module, x: Tensor, values: _Values) -> Tensor:
    if _is_known(part):
        return _RULES[type(part)](part, x, values)
    return _vectorised(part, x, values, 0)


def _vectorised(part: nn.Module, inputs: Samples, values: _Values, batch: int | None) -> Any:
    """A part of any kind, by vmap of its own forward."""
    named = {name: values.of(own) for name, own in part.named_parameters()}
    buffers = {name: values.of(own).clone() for name, own in part.named_buffers()}

    def forward(named: Named, buffers: Named, inputs: Samples) -> Any:
        positional, keyword = arguments(part, inputs)
        return functional_call(part, (named, buffers), tuple(positional), dict(keyword))

    outputs = vmap(forward, in_dims=(0, 0, batch), randomness="different")(named, buffers, inputs)
    for name, own in part.named_buffers():
        values.replace(own, buffers[name])
    return outputs


def _chain(part: nn.Module, x: Tensor, values: _Values) -> Tensor:
    """Layers one after another; a dense layer's bias is left out where batch norm takes it off again at once."""
    parts = list(part.children())
    follow = [*parts[1:], None]
    cancelled = [_cancels(one, two) for one, two in zip(parts, follow, strict=True)]
    for i, layer in enumerate(parts):
        if cancelled[i]:
            x = _product(layer, x, values)
        elif i and cancelled[i - 1]:
            x = _normalised(layer, x, values, values.of(parts[i - 1].get_parameter("bias")))
        else:
            x = _through(layer, x, values)
    return x


def _cancels(layer: nn.Module, following: nn.Module | None) -> bool:
    """Whether a dense layer's bias has no effect but on a running mean."""
    return (
        type(layer) is nn.Linear
        and layer.bias is not None
        and type(following) is nn.BatchNorm1d
        and _by_batch(following)
        and _is_known(layer)
        and _is_known(following)
    )


def _linear(part: Any, x: Tensor, values: _Values) -> Tensor:
    if x.dim() != 3:
        return _vectorised(part, x, values, 0)
    product = _product(part, x, values)
    return product if part.bias is None else product + values.of(part.bias).unsqueeze(1)


def _product(part: Any, x: Tensor, values: _Values) -> Tensor:
    """xWᵀ, laid out with the samples last, so that neither W nor its gradient is ever turned round."""
    weight = values.of(part.weight)
    if x.stride(0) == 0:  # all members see the same x: one product of all weights
        return (weight.flatten(0, 1) @ x[0].mT).view(*weight.shape[:2], -1).mT
    return torch.bmm(weight, x.mT).mT


def _convolution(part: Any, x: Tensor, values: _Values) -> Tensor:
    """One convolution of K·C channels in groups, each member's channels its own."""
    if x.dim() != 5 or part.padding_mode != "zeros":
        return _vectorised(part, x, values, 0)
    weight, groups = values.of(part.weight).flatten(0, 1), len(x) * part.groups
    bias = None if part.bias is None else values.of(part.bias).flatten()
    found = F.conv2d(_channels(x), weight, bias, part.stride, part.padding, part.dilation, groups)
    return _members(found, x)


def _batch_norm(part: Any, x: Tensor, values: _Values) -> Tensor:
    return _normalised(part, x, values, None)


def _by_batch(part: Any) -> bool:
    """Whether a batch norm, in its present mode, normalises by the batch."""
    return part.training or part.running_mean is None


def _normalised(part: Any, x: Tensor, values: _Values, left_out: Tensor | None) -> Tensor:
    """Torch's batch norm of members × channels, in float32 at least; `left_out` is what x lacks, (K, channels)."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    weight, bias = (None if own is None else values.of(own).flatten() for own in (part.weight, part.bias))
    if not _by_batch(part):
        mean, variance = (values.of(own).flatten() for own in (part.running_mean, part.running_var))
        return _members(F.batch_norm(_channels(x), mean, variance, weight, bias, False, 0.0, part.eps), x)
    mean, variance = x.new_zeros(2, x.shape[0] * x.shape[2])
    scaled = F.batch_norm(_channels(x), mean, variance, weight, bias, True, 1.0, part.eps)
    if part.training and part.running_mean is not None:
        mean, variance = mean.view(len(x), -1), variance.view(len(x), -1)
        _follow(part, values, mean if left_out is None else mean + left_out, variance)
    return _members(scaled, x)


def _channels(x: Tensor) -> Tensor:
    """(K, samples, C, …) as one batch of K·C channels, in the order in which the layers before leave it in memory."""
    return x.mT.reshape(1, -1, x.shape[1]) if x.dim() == 3 else x.movedim(0, 1).flatten(1, 2)


def _members(normalised: Tensor, like: Tensor) -> Tensor:
    """The way back."""
    if like.dim() == 3:
        return normalised.view(like.shape[0], -1, like.shape[1]).mT
    return normalised.unflatten(1, (like.shape[0], -1)).movedim(1, 0)


def _follow(part: Any, values: _Values, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics towards a batch's, as torch does."""
    steps = values.of(part.num_batches_tracked) + 1
    values.replace(part.num_batches_tracked, steps)
    for own, new in ((part.running_mean, mean), (part.running_var, variance)):
        old = values.of(own)
        share = part.momentum if part.momentum is not None else (1 / steps).to(old).unsqueeze(1)
        values.replace(own, old * (1 - share) + new.detach().to(old) * share)


def _pointwise(part: nn.Module, x: Tensor, values: _Values) -> Tensor:
    return part(x)


def _sample_wise(part: nn.Module, x: Tensor, values: _Values) -> Tensor:
    """A layer without parameters that treats every sample by itself."""
    return part(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _residual(part: Any, x: Tensor, values: _Values) -> Tensor:
    return _through(part.shortcut, x, values) + _through(part.branch, x, values)


_POINTWISE: Sequence[type[nn.Module]] = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Identity, nn.Dropout,
    Pointwise,
)  # fmt: skip
_SAMPLE_WISE: Sequence[type[nn.Module]] = (nn.Flatten, nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d)

_RULES: Mapping[type[nn.Module], Callable[[Any, Tensor, _Values], Tensor]] = {
    nn.Sequential: _chain,
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    ResidualBlock: _residual,
    **dict.fromkeys(_NORMS, _batch_norm),
    **dict.fromkeys(_POINTWISE, _pointwise),
    **dict.fromkeys(_SAMPLE_WISE, _sample_wise),
}
