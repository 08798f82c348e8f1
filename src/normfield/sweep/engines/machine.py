"""What this machine has for workers: cores, threads and GPUs."""

from __future__ import annotations

import os
from pathlib import Path

from normfield.errors import InvalidInput

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def cores() -> int:
    """Processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def own_threads() -> int:
    """Threads that this process's libraries start with: ``OMP_NUM_THREADS``, else one for each core."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(told) if told.isdecimal() and int(told) > 0 else cores()


def gpus_of(workers: int, each: float) -> list[str]:
    """``CUDA_VISIBLE_DEVICES`` for each worker: with 0.5 each, two workers to a GPU; with 2, two GPUs to a worker.

    Raises
    ------
    InvalidInput
        The machine has fewer GPUs than that takes, or a share cannot be laid on whole ones.
    """
    if each >= 1 and each != int(each):
        raise InvalidInput(expected="gpus_per_worker below 1 or a whole number", got=f"{each:g}")
    names, per_gpu = _gpu_names(), int(1 / each) if each < 1 else 1
    places = [
        [worker // per_gpu] if each < 1 else range(worker * int(each), (worker + 1) * int(each))
        for worker in range(workers)
    ]
    if places[-1][-1] >= len(names):
        raise InvalidInput(
            expected=f"{places[-1][-1] + 1} GPUs for {workers} workers with {each:g} each",
            got=f"a machine with {len(names)}",
            instead="give fewer workers, or a smaller gpus_per_worker",
        )
    return [",".join(names[place] for place in own) for own in places]


def _gpu_names() -> list[str]:
    """What may be written into ``CUDA_VISIBLE_DEVICES`` here."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [name.strip() for name in told.split(",") if name.strip() not in ("", "-1")]
    try:
        return [str(i) for i, _ in enumerate(_NVIDIA.iterdir())]
    except OSError:
        return []
