"""What runs groups of points: one interface for this process, for others on this machine, and for a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from normfield.errors import NormfieldError
from normfield.sweep.task import Outcome, Point, Resources, Task


class WorkersLost(NormfieldError):
    """No worker is left and none comes up; what was finished is in the store."""


@dataclass(frozen=True)
class Job:
    """The points of one group, run together."""

    number: int
    points: Sequence[Point]


@dataclass(frozen=True)
class Finished:
    """What became of a job.

    Attributes
    ----------
    job : Job
    outcomes : sequence of Outcome or None
        One for each point; None where the whole job failed.
    error : str or None
        Why it failed, in a line.
    again : bool
        Whether it may go better another time.
    """

    job: Job
    outcomes: Sequence[Outcome] | None = None
    error: str | None = None
    again: bool = True


class Engine(Protocol):
    """Workers that run jobs. What they give is committed by the caller, who alone writes to a store."""

    def start(self, task: Task) -> None:
        """Bring up the workers; return when the first has the task.

        Raises
        ------
        InvalidInput
            The task cannot be sent to a worker or read there, or the workers ask for more than there is.
        """
        ...

    def resources(self, memory: float | None) -> Resources:
        """What each worker may take, given the bytes for all of them; None is half of what is free."""
        ...

    @property
    def workers(self) -> int:
        """How many jobs can run at the same time; known after the start."""
        ...

    @property
    def free(self) -> int:
        """How many more jobs can be begun now."""
        ...

    @property
    def busy(self) -> int:
        """How many jobs are running."""
        ...

    def submit(self, job: Job) -> None:
        """Begin a job; only where a worker is free."""
        ...

    def wait(self) -> Sequence[Finished]:
        """Wait until something happened and give the jobs that ended, if any did; only while one is running.

        Raises
        ------
        WorkersLost
            No worker is left and none comes up.
        """
        ...

    def stop(self) -> None:
        """End the workers at once, whatever they are at; can be called twice, and before the start."""
        ...
