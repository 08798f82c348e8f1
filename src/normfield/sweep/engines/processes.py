"""Jobs in processes of this machine, each with its own interpreter: a job that kills its worker kills no other."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from normfield.errors import InvalidInput
from normfield.free_memory import usable_bytes
from normfield.sweep.engines.engine import Finished, Job, WorkersLost
from normfield.sweep.engines.environment import inherited, limited_to
from normfield.sweep.engines.machine import gpus_of
from normfield.sweep.engines.portable import packed
from normfield.sweep.engines.worker import READY, UNREADABLE, serve
from normfield.sweep.task import Resources, Task

_STARTS = 3
"""How many workers in a row may end before they have the task."""


@dataclass
class _Worker:
    """A process, the line to it, and its job; not ready until it has the task."""

    process: BaseProcess
    line: Connection
    place: int
    ready: bool = False
    job: Job | None = None

    def end(self) -> None:
        """Kill it, whatever it is at."""
        self.process.kill()
        self.process.join()
        self.line.close()


class Processes:
    """Spawned workers, each with a number of threads that is kept when the sweep goes on.

    The task is pickled once. A worker that dies is replaced, and its job comes back as failed.
    """

    def __init__(self, workers: int, threads: int, gpus: float = 0.0) -> None:
        self.workers = workers
        self._threads, self._gpus = threads, gpus
        self._visible = gpus_of(workers, gpus) if gpus else [None] * workers
        self._packet = b""
        self._crew: list[_Worker] = []
        self._lost_at_start = 0

    def start(self, task: Task) -> None:
        """Start all workers; return when the first has the task."""
        self._packet = packed(task)
        try:
            self._crew = [self._started(place) for place in range(self.workers)]
            for worker in self._crew:
                self._send(worker, self._packet)
            while not self.free:
                self.wait()
        except BaseException:
            self.stop()
            raise

    def resources(self, memory: float | None) -> Resources:
        """An equal share for each worker."""
        total = usable_bytes() if memory is None else memory
        return Resources(total / self.workers, self._threads, self._gpus)

    @property
    def free(self) -> int:
        """Workers that have the task and no job."""
        return sum(worker.ready and worker.job is None for worker in self._crew)

    @property
    def busy(self) -> int:
        """Workers with a job."""
        return sum(worker.job is not None for worker in self._crew)

    def submit(self, job: Job) -> None:
        """Send a job to a worker that has none."""
        worker = next(each for each in self._crew if each.ready and each.job is None)
        worker.job = job
        self._send(worker, pickle.dumps(job))

    def wait(self) -> Sequence[Finished]:
        """Wait for an answer, or for the end of a worker."""
        awaited: list[Any] = [end for each in self._crew for end in (each.line, each.process.sentinel)]
        woken = set(wait(awaited))
        heard = [each for each in self._crew if woken & {each.line, each.process.sentinel}]
        answers = [self._hear(worker) for worker in heard]
        return [answer for answer in answers if answer is not None]

    def stop(self) -> None:
        """Kill all workers."""
        for worker in self._crew:
            worker.process.kill()
        while self._crew:
            self._crew.pop().end()

    def _started(self, place: int) -> _Worker:
        """A new process; nothing in it listens to Ctrl-C, which is the driver's."""
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=serve, args=(there,), name=f"normfield-sweep-{place}")
        own = limited_to(self._threads)
        if (visible := self._visible[place]) is not None:
            own["CUDA_VISIBLE_DEVICES"] = visible
        with inherited(own), _no_interrupts():
            process.start()
        there.close()
        return _Worker(process, here, place)

    def _send(self, worker: _Worker, packet: bytes) -> None:
        """A worker that is gone is found out by `wait`."""
        try:
            worker.line.send_bytes(packet)
        except OSError:
            worker.process.kill()

    def _hear(self, worker: _Worker) -> Finished | None:
        """Take a message from a worker, or replace it where it is gone."""
        try:
            if not worker.line.poll():
                raise EOFError
            kind, told = pickle.loads(worker.line.recv_bytes())
        except (EOFError, OSError):
            return self._replace(worker)
        if kind == UNREADABLE:
            raise _unreadable(told)
        if kind == READY:
            worker.ready, self._lost_at_start = True, 0
            return None
        worker.job = None
        return told

    def _replace(self, worker: _Worker) -> Finished | None:
        """Start another in the place of one that is gone; what it ran has failed."""
        worker.end()
        self._lost_at_start += not worker.ready
        if self._lost_at_start >= _STARTS:
            self._crew.remove(worker)
            raise WorkersLost(_no_start(worker.process.exitcode))
        successor = self._started(worker.place)
        self._crew[self._crew.index(worker)] = successor
        self._send(successor, self._packet)
        told = f"its worker process ended, {_how(worker.process.exitcode)}"
        return None if worker.job is None else Finished(worker.job, error=told)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """A process started inside never sees Ctrl-C; one that comes meanwhile reaches this one afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started with the first process otherwise, and the mask is lifted again by its start.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _how(code: int | None) -> str:
    """An exit code in words."""
    if code is not None and code < 0:
        return f"killed by signal {-code}" + (", as by a machine out of memory" if code == -9 else "")
    return f"exit code {code}"


def _no_start(code: int | None) -> str:
    return (
        f"{_STARTS} worker processes in a row ended before they could begin ({_how(code)}); in a script, "
        'call run_sweep beneath `if __name__ == "__main__":`'
    )


def _unreadable(told: str) -> InvalidInput:
    return InvalidInput(
        expected="a task that a worker process can read",
        got=told,
        instead="keep what it is made of in modules that can be imported, or use engine='inline'",
    )
