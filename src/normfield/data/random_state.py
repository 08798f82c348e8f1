"""Run code that draws from the global generators without leaving a trace in them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def kept_random_state(own: Iterable[torch.Generator] = ()) -> Iterator[None]:
    """Put torch's, NumPy's and Python's global generators, and those in `own`, back on leaving."""
    generators = tuple(own)
    kept = [generator.get_state() for generator in generators]
    for_torch, for_python = torch.get_rng_state(), random.getstate()
    for_numpy = np.random.get_state()  # noqa: NPY002
    for_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        for generator, state in zip(generators, kept, strict=True):
            generator.set_state(state)
        torch.set_rng_state(for_torch)
        np.random.set_state(for_numpy)  # noqa: NPY002
        random.setstate(for_python)
        if for_cuda:
            torch.cuda.set_rng_state_all(for_cuda)


@contextmanager
def seeded_random_state(seed: int, own: Iterable[torch.Generator] = ()) -> Iterator[None]:
    """Let the code inside draw from global generators started at `seed`, then put their old states back."""
    with kept_random_state(own):
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        yield
