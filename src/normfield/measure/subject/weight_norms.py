"""Weight norm by a formula with a right second derivative.

torch computes w = g·v/‖v‖ in one operation, whose derivative takes ‖v‖ as a constant when it is differentiated again:
the Hessian of such a model would not even be symmetric.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.weight_norm import WeightNorm

from normfield.measure.subject.replaced import replaced


def _weight(layer: _WeightNorm, g: Tensor, v: Tensor) -> Tensor:
    """g·v/‖v‖, the norm over all dimensions but the layer's own."""
    return v * (g / torch.norm_except_dim(v, 2, layer.dim))


def _hooked_weight(hook: WeightNorm, module: nn.Module) -> Tensor:
    """The same for the older form, a hook on the module."""
    g, v = getattr(module, hook.name + "_g"), getattr(module, hook.name + "_v")
    return v * (g / torch.norm_except_dim(v, 2, hook.dim))


@contextmanager
def twice_differentiable(model: nn.Module) -> Iterator[None]:
    """While open, every weight norm of the model, in either of torch's forms, has its second derivative."""
    layers = [module for module in model.modules() if isinstance(module, _WeightNorm)]
    hooks = [
        hook
        for module in model.modules()
        for hook in module._forward_pre_hooks.values()
        if isinstance(hook, WeightNorm)
    ]
    with (
        replaced("forward", {layer: partial(_weight, layer) for layer in layers}),
        replaced("compute_weight", {hook: partial(_hooked_weight, hook) for hook in hooks}),
    ):
        yield
