"""Code of others may draw from the global generators: run it, then put them back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded_then_restored(seed: int) -> Iterator[None]:
    """Start torch's, NumPy's and Python's global generators at ``seed``; put their states back on leaving."""
    for_python, for_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(
        devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    ):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(for_python)
            np.random.set_state(for_numpy)  # noqa: NPY002
