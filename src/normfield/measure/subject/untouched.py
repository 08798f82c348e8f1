"""What is measured is left as it was found: attributes, buffers, modes and global random state."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.subject.plainly import full_precision
from normfield.measure.subject.randomness import same_random_state, seed_generators
from normfield.measure.subject.replaced import replaced, same_attributes
from normfield.measure.subject.weight_norms import twice_differentiable


def _buffers(model: nn.Module) -> list[tuple[nn.Module, str, Tensor, Tensor]]:
    """Every buffer with its owner, its name and a copy of its values."""
    return [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]


@contextmanager
def _same_buffers(model: nn.Module) -> Iterator[None]:
    """Put back every buffer, the tensor itself and its values, that the body replaced or wrote."""
    before = _buffers(model)
    try:
        yield
    finally:
        for module, name, buffer, values in before:
            module._buffers[name] = buffer
            if not torch.equal(buffer, values):
                with torch.no_grad():
                    buffer.copy_(values)


@contextmanager
def _silent_backward_hooks(model: nn.Module) -> Iterator[None]:
    """Modules' backward hooks neither run nor change a derivative."""
    modules = list(model.modules())
    with (
        replaced("_backward_hooks", {module: OrderedDict() for module in modules}),
        replaced("_backward_pre_hooks", {module: OrderedDict() for module in modules}),
    ):
        yield


@contextmanager
def untouched(model: nn.Module, seed: int, device: torch.device) -> Iterator[None]:
    """Whatever the body runs, the model and the global random state are afterwards as before, also when it raises.

    Gradients are enabled inside and autocast is off, whatever the caller's mode; modules' backward hooks are silent,
    since they may change what a backward pass gives, and weight norms are computed by a formula that torch
    differentiates twice.

    Parameters
    ----------
    model : nn.Module
    seed : int
        Seeds the global generators inside the body, so that a shuffling loader is reproducible.
    device : torch.device
        The model's device; a CUDA device's generator is saved too.

    Raises
    ------
    InvalidInput
        A seed that is no whole number from 0 to 2**63 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InvalidInput(
            expected="seed as a whole number from 0 to 2**63 - 1", got=repr(seed), instead="use seed=0"
        )
    with (
        same_random_state(device),
        same_attributes(model),
        _same_buffers(model),
        _silent_backward_hooks(model),
        twice_differentiable(model),
        full_precision(device),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        seed_generators(seed, device)
        yield
