"""Engines by name."""

from __future__ import annotations

import math
import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from normfield.errors import InvalidInput
from normfield.sweep.engines.engine import Engine
from normfield.sweep.engines.environment import inherited
from normfield.sweep.engines.inline import Inline
from normfield.sweep.engines.machine import cores
from normfield.sweep.engines.processes import Processes

ENGINES = ("inline", "processes", "ray")
_SKIPPED = "RAY_DEDUP_LOGS_SKIP_REGEX"
_RAY = "normfield.sweep.engines.ray_cluster"


def threads_of(engine: str, workers: int | None, address: str | None, own: int) -> int:
    """Threads of each worker: this process's own inline, one in a cluster elsewhere, else a share of the cores."""
    if engine == "inline":
        return own
    return 1 if address is not None else max(1, cores() // (workers or cores()))


def engine_named(
    engine: str, *, workers: int | None, address: str | None, gpus_per_worker: float, threads: int
) -> Engine:
    """An engine that is not yet started.

    Raises
    ------
    InvalidInput
        For another name, settings that the engine does not have, or where Ray is not installed.
    """
    check_engine(engine, workers, address, gpus_per_worker)
    if engine == "inline":
        return Inline(gpus_per_worker)
    if engine == "processes":
        return Processes(workers or cores(), threads, gpus_per_worker)
    by_default = None if address is not None else cores()
    return _ray().RayWorkers(workers or by_default, threads, gpus_per_worker, address)


def _ray() -> Any:
    """The one module that imports Ray.

    Ray tells of each lost worker on standard output, where tables and JSON go; what it skips is fixed when it is first
    imported. The store keeps the loss as the error of an attempt.
    """
    own = {} if _SKIPPED in os.environ else {_SKIPPED: "A worker died or was killed while executing a task"}
    with inherited(own):
        return import_module(_RAY)


def check_engine(engine: str, workers: int | None, address: str | None, gpus_per_worker: float) -> None:
    """Refuse what no engine can be made of, before anything is begun."""
    if engine not in ENGINES:
        raise InvalidInput(expected=f"engine as one of {', '.join(ENGINES)}", got=repr(engine))
    is_count = workers is None or (isinstance(workers, int) and not isinstance(workers, bool) and workers > 0)
    if not is_count:
        raise InvalidInput(expected="workers as a whole number of at least 1", got=repr(workers))
    is_share = isinstance(gpus_per_worker, int | float) and 0 <= gpus_per_worker < math.inf
    if not is_share:
        raise InvalidInput(expected="gpus_per_worker of at least 0", got=repr(gpus_per_worker))
    if engine == "inline" and workers not in (None, 1):
        raise InvalidInput(
            expected="one worker with engine='inline'",
            got=f"workers={workers}",
            instead="use engine='processes'",
        )
    if engine != "ray" and address is not None:
        raise InvalidInput(expected="an address only with engine='ray'", got=f"engine={engine!r}")
    if engine == "ray" and find_spec("ray") is None:
        raise InvalidInput(
            expected="Ray for engine='ray'", got="none installed", instead="pip install 'normfield[ray]'"
        )
