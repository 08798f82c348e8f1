"""The global random generators that a module's forward may draw from: torch's, NumPy's and Python's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def _torch_generators(device: torch.device) -> list[torch.Generator]:
    """The CPU's generator, and that of a CUDA device."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    return generators


@contextmanager
def same_random_state(device: torch.device) -> Iterator[None]:
    """Put back every global generator, also when the body raises."""
    of_torch = [(generator, generator.get_state()) for generator in _torch_generators(device)]
    of_python = random.getstate()
    of_numpy = np.random.get_state()  # noqa: NPY002 - the global state is saved here, not drawn from
    try:
        yield
    finally:
        for generator, state in of_torch:
            generator.set_state(state)
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002


def seed_generators(seed: int, device: torch.device) -> None:
    """Start every global generator from a seed; call it within `same_random_state`."""
    for generator in _torch_generators(device):
        generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - users' modules draw from the global state


def has_drawn(seed: int, device: torch.device) -> bool:
    """Whether anything was drawn since `seed_generators(seed, device)`."""
    now = [generator.get_state() for generator in _torch_generators(device)]
    of_python, of_numpy = random.getstate(), _numpy_state()
    with same_random_state(device):
        seed_generators(seed, device)
        fresh = [generator.get_state() for generator in _torch_generators(device)]
        unmoved = all(torch.equal(a, b) for a, b in zip(now, fresh, strict=True))
        return not (unmoved and of_python == random.getstate() and of_numpy == _numpy_state())


def _numpy_state() -> list[bytes]:
    return [np.asarray(part).tobytes() for part in np.random.get_state()]  # noqa: NPY002
