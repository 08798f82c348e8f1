"""One attempt at a job, wherever it is run."""

from __future__ import annotations

from normfield.errors import InvalidInput
from normfield.sweep.engines.engine import Finished, Job
from normfield.sweep.task import Task


def attempt(task: Task, job: Job) -> Finished:
    """Run a job; what it raises is its error. Ctrl-C is none of them."""
    try:
        outcomes = tuple(task.run(job.points))
    except InvalidInput as error:
        return Finished(job, error=str(error), again=False)
    except Exception as error:
        return Finished(job, error=in_a_line(error))
    if len(outcomes) != len(job.points):
        told = f"the task gave {len(outcomes)} outcomes for {len(job.points)} points"
        return Finished(job, error=told, again=False)
    return Finished(job, outcomes)


def in_a_line(error: BaseException) -> str:
    """Kind and message of an exception: ``ValueError: no such thing``."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
