"""Environment variables of processes that are started from here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def limited_to(threads: int) -> dict[str, str]:
    """Environment of a process whose numerical libraries shall start no more threads than this."""
    return dict.fromkeys(_THREADS, str(threads))


@contextmanager
def inherited(changes: Mapping[str, str]) -> Iterator[None]:
    """What a process started inside inherits; this one's is as before."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
