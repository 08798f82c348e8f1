"""Jobs one after another in this process."""

from __future__ import annotations

from collections.abc import Sequence

from normfield.free_memory import usable_bytes
from normfield.sweep.engines.attempt import attempt
from normfield.sweep.engines.engine import Finished, Job
from normfield.sweep.engines.machine import cores
from normfield.sweep.task import Resources, Task


class Inline:
    """The engine without workers: Ctrl-C ends the running job."""

    workers = 1

    def __init__(self, gpus: float = 0.0) -> None:
        self._gpus = gpus
        self._task: Task | None = None
        self._job: Job | None = None

    def start(self, task: Task) -> None:
        """Take the task as it is."""
        self._task = task

    def resources(self, memory: float | None) -> Resources:
        """All that this process may take."""
        return Resources(usable_bytes() if memory is None else memory, cores(), self._gpus)

    @property
    def free(self) -> int:
        """1 between jobs."""
        return 1 - self.busy

    @property
    def busy(self) -> int:
        """1 with a job in hand."""
        return int(self._job is not None)

    def submit(self, job: Job) -> None:
        """Take a job in hand."""
        self._job = job

    def wait(self) -> Sequence[Finished]:
        """Run the job."""
        if self._task is None or self._job is None:
            return ()
        job, self._job = self._job, None
        return (attempt(self._task, job),)

    def stop(self) -> None:
        """Drop what was not begun."""
        self._job = None
