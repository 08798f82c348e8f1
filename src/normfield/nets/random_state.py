"""Code of others may draw from the global generators: run it, then put them back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass
class Draws:
    """Whether the code inside drew any number; known after it."""

    happened: bool = False


@contextmanager
def seeded_then_restored(seed: int) -> Iterator[Draws]:
    """Start torch's, NumPy's and Python's global generators at ``seed``; put their states back on leaving."""
    for_python, for_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    found = Draws()
    with torch.random.fork_rng(
        devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    ):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        before = _states()
        try:
            yield found
        finally:
            found.happened = _states() != before
            random.setstate(for_python)
            np.random.set_state(for_numpy)  # noqa: NPY002


def _states() -> tuple:
    numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    key, position = numpy["state"]["key"].tobytes(), numpy["state"]["pos"]
    return random.getstate(), key, position, bytes(torch.get_rng_state().numpy())
