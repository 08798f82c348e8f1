"""Jobs on a Ray cluster, begun on this machine or reached by its address; the one file that imports Ray."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayActorError, RayError

from normfield.errors import InvalidInput
from normfield.free_memory import SHARE, usable_bytes
from normfield.sweep.engines.attempt import attempt, in_a_line
from normfield.sweep.engines.engine import Finished, Job, WorkersLost
from normfield.sweep.engines.environment import inherited, limited_to
from normfield.sweep.task import Resources, Task

_STARTS = 3
"""How many workers in a row may end before they have the task."""
_PATIENCE = 120.0
"""Seconds to wait for a worker while there is none."""
_ANSWERS_WITHIN = 10.0
"""Seconds in which an address must take a connection."""


class _Serving:
    """An actor: takes the task once, then runs jobs."""

    def take(self, packet: bytes, paths: Sequence[str]) -> str | None:
        """Read the task, with modules from where the driver finds them; None, or why it cannot be read."""
        sys.path += [path for path in paths if path not in sys.path]
        try:
            self._task = cloudpickle.loads(packet)
        except Exception as error:
            return in_a_line(error)
        return None

    def run(self, job: Job) -> Finished:
        """One attempt at a job."""
        return attempt(self._task, job)


@dataclass(eq=False)
class _Worker:
    """An actor and what it was last asked; not ready until it has the task."""

    actor: Any
    asked: Any
    ready: bool = False
    job: Job | None = None


class RayWorkers:
    """One actor for each worker, with its cores and its share of a GPU; a lost one is replaced, its job has failed."""

    def __init__(
        self, workers: int | None, threads: int, gpus: float = 0.0, address: str | None = None
    ) -> None:
        self.workers = workers or 0
        self._threads, self._gpus, self._address = threads, gpus, address
        self._packet: Any = None
        self._crew: list[_Worker] = []
        self._lost_at_start, self._is_ours = 0, False

    def start(self, task: Task) -> None:
        """Reach the cluster, put the task there and start an actor for each worker."""
        packet = _packed(task)
        try:
            self._reach()
            self.workers = self.workers or max(1, sum(self._fitting(node) for node in _nodes()))
            self._check_room()
            self._packet = ray.put(packet)
            self._crew = [self._started() for _ in range(self.workers)]
            while not self.free:
                self.wait()
        except BaseException:
            self.stop()
            raise

    def resources(self, memory: float | None) -> Resources:
        """An equal share for each worker; in a cluster, of the machine that leaves a worker least."""
        if memory is not None:
            return Resources(memory / self.workers, self._threads, self._gpus)
        if self._address is None:
            return Resources(usable_bytes() / self.workers, self._threads, self._gpus)
        shares = [node.get("memory", 0.0) / fitting for node in _nodes() if (fitting := self._fitting(node))]
        return Resources(SHARE * min(shares), self._threads, self._gpus)

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
        worker.job, worker.asked = job, worker.actor.run.remote(job)

    def wait(self) -> Sequence[Finished]:
        """Wait for an answer, or for the end of a worker."""
        asked = {each.asked: each for each in self._crew if not each.ready or each.job is not None}
        answered, _ = ray.wait(list(asked), timeout=None if self.busy else _PATIENCE)
        if not answered:
            raise WorkersLost(f"no Ray worker came up in {_PATIENCE:.0f} s: the cluster has no room for one")
        if len(asked) > 1:
            answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
        answers = [self._hear(asked[reference]) for reference in answered]
        return [answer for answer in answers if answer is not None]

    def stop(self) -> None:
        """Kill the actors; end the cluster if it was begun here."""
        if ray.is_initialized():
            for worker in self._crew:
                ray.kill(worker.actor)
            if self._is_ours:
                ray.shutdown()
        self._crew, self._packet, self._is_ours = [], None, False

    def _reach(self) -> None:
        """Begin a cluster or connect to one, quietly; one that is already connected is used, and left."""
        if ray.is_initialized():
            return
        _check_answers(self._address)
        own: dict[str, Any] = {"num_cpus": self.workers * self._threads} if self._address is None else {}
        with inherited({"RAY_USAGE_STATS_ENABLED": "0"}):
            try:
                ray.init(
                    self._address or "local",
                    include_dashboard=None if self._address else False,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    **own,
                )
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise _unreachable(self._address, error) from error
        self._is_ours = True

    def _fitting(self, node: Mapping[str, float]) -> int:
        """How many workers a machine of the cluster has room for."""
        by_gpu = [node.get("GPU", 0.0) / self._gpus] if self._gpus else []
        return int(min(node.get("CPU", 0.0) / self._threads, *by_gpu, float("inf")))

    def _check_room(self) -> None:
        room = sum(self._fitting(node) for node in _nodes())
        if room < self.workers:
            each = f"{self._threads} core{'s' * (self._threads > 1)}" + (
                f" and {self._gpus:g} GPUs" if self._gpus else ""
            )
            raise InvalidInput(
                expected=f"a Ray cluster with room for {self.workers} workers of {each}",
                got=f"{_all_there_is()}, room for {room}",
                instead="give fewer workers, or start its machines first",
            )

    def _started(self) -> _Worker:
        """A new actor, asked to take the task; Ray places it as soon as there is room."""
        serving: Any = ray.remote(_Serving)
        actor = serving.options(
            num_cpus=self._threads,
            num_gpus=self._gpus,
            max_restarts=0,
            runtime_env={"env_vars": limited_to(self._threads)},
        ).remote()
        return _Worker(actor, actor.take.remote(self._packet, sys.path))

    def _hear(self, worker: _Worker) -> Finished | None:
        """Take an answer from a worker, or replace it where it is gone."""
        try:
            answer: Any = ray.get(worker.asked)
        except RayActorError as error:
            return self._replace(worker, error)
        except RayError as error:
            job, worker.job = worker.job, None
            return job and Finished(job, error=in_a_line(error))
        if not worker.ready:
            if answer is not None:
                raise _unreadable(answer)
            worker.ready, self._lost_at_start = True, 0
            return None
        worker.job = None
        return answer

    def _replace(self, worker: _Worker, error: RayActorError) -> Finished | None:
        """Start another in the place of one that is gone; what it ran has failed."""
        self._lost_at_start += not worker.ready
        if self._lost_at_start >= _STARTS:
            raise WorkersLost(
                f"{_STARTS} Ray workers in a row ended before they could begin: {in_a_line(error)}"
            )
        self._crew[self._crew.index(worker)] = self._started()
        return worker.job and Finished(worker.job, error=f"its Ray worker was lost: {_reason(error)}")


def _packed(task: Task) -> bytes:
    """A task as bytes; functions that cannot be imported travel with it."""
    try:
        return cloudpickle.dumps(task)  # pyright: ignore[reportPrivateImportUsage]
    except Exception as error:
        raise InvalidInput(
            expected="a task that can be sent to a Ray worker",
            got=in_a_line(error),
            instead="keep locks, open files and generators out of the build function and the data",
        ) from error


def _nodes() -> list[Mapping[str, float]]:
    """Resources of the machines that are up."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _all_there_is() -> str:
    total = ray.cluster_resources()
    return f"{total.get('CPU', 0):g} cores and {total.get('GPU', 0):g} GPUs"


def _reason(error: RayActorError) -> str:
    """What Ray says, in a line of bearable length."""
    told = in_a_line(error)
    return told if len(told) <= 300 else f"{told[:300]} …"


def _check_answers(address: str | None) -> None:
    """Whether anything listens at ``host:port``; Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_WITHIN).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str | None, error: Exception) -> InvalidInput:
    place = f"a Ray cluster at {address}" if address else "a Ray cluster on this machine"
    return InvalidInput(
        expected=place,
        got=in_a_line(error),
        instead="start it, or leave out the address for one on this machine",
    )


def _unreadable(told: str) -> InvalidInput:
    return InvalidInput(
        expected="a task that a Ray worker can read",
        got=told,
        instead="install the modules it is made of on every machine of the cluster",
    )
