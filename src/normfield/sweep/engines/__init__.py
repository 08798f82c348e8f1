"""What runs a sweep's groups: this process, processes of this machine, or a Ray cluster."""

from normfield.sweep.engines.choosing import ENGINES, check_engine, engine_named, threads_of
from normfield.sweep.engines.engine import Engine, Finished, Job, WorkersLost
from normfield.sweep.engines.machine import own_threads

__all__ = [
    "ENGINES",
    "Engine",
    "Finished",
    "Job",
    "WorkersLost",
    "check_engine",
    "engine_named",
    "own_threads",
    "threads_of",
]
