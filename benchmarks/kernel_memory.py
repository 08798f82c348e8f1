"""Peak memory of the exact kernels, in matrices of samples × samples float64.

Each is read in a process of its own, after a small call that loads the libraries. "traced" is the peak of what NumPy
allocated, exactly, as Python's tracemalloc counts it; "resident" is the growth of the process's largest resident size,
with LAPACK's workspace and all other buffers. Both are held to the limit.
"""

from __future__ import annotations

import resource
import sys
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from kernel_cases import exact

SMALL = 64


@dataclass(frozen=True)
class Peak:
    """Matrices of samples × samples float64 at the peak, by both ways of counting."""

    arrays: float
    resident: float


def traced(samples: int) -> float:
    """The largest number of bytes in NumPy's arrays during the call."""
    call = exact(samples)
    exact(SMALL)()
    tracemalloc.start()
    call()
    return tracemalloc.get_traced_memory()[1]


def _largest_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def grown(samples: int) -> float:
    """Bytes by which the largest resident size grows during the call."""
    call = exact(samples)
    exact(SMALL)()
    before = _largest_resident()
    call()
    return _largest_resident() - before


def peak(samples: int) -> Peak:
    """Both readings, each in a fresh process."""
    readings = []
    for meter in (traced, grown):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            readings.append(process.submit(meter, samples).result() / (8 * samples**2))
    return Peak(*readings)
