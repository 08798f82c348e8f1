"""Work on several threads, each with one processor core to itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def side_by_side(workers: int) -> Iterator[Callable[[Callable, Iterable[Any]], Iterable[Any]]]:
    """A ``map`` whose calls run at the same time, at most so many; torch takes one thread in each, and is put back."""
    if workers < 2:
        yield map
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)
