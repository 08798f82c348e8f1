"""What is measured is left as it was found: buffers, modes and global random state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput


@contextmanager
def _same_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's CPU generator is seeded; afterwards torch, numpy and random are where they were."""
    of_torch, of_python = torch.get_rng_state(), random.getstate()
    of_numpy = np.random.get_state()  # noqa: NPY002 - the global state is saved here, not drawn from
    of_cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(of_torch)
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        if of_cuda is not None:
            torch.cuda.set_rng_state(of_cuda, device)


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
def _same_modes(model: nn.Module) -> Iterator[None]:
    """Put back train or eval of every submodule."""
    before = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


@contextmanager
def untouched(model: nn.Module, seed: int, device: torch.device) -> Iterator[None]:
    """Whatever the body runs, the model and the global random state are afterwards as before, also when it raises.

    Gradients are enabled inside, whatever the caller's mode.

    Parameters
    ----------
    model : nn.Module
    seed : int
        Seeds torch's global CPU generator inside the body, so that a shuffling loader is reproducible.
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
        _same_random_state(seed, device),
        _same_buffers(model),
        _same_modes(model),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        yield
