"""Work on several threads, each with one processor core to itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

Mapped = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]
"""A ``map``."""


@contextmanager
def side_by_side() -> Iterator[Mapped]:
    """A ``map`` whose calls run at the same time, on as many threads as torch has; there it takes one in each, and is
    put back. Threads are started by the first call and then wait for the next."""
    threads = torch.get_num_threads()
    if threads < 2:
        yield map
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)
