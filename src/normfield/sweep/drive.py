"""The loop of a sweep: groups go to an engine, what comes back is committed, by this process alone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from itertools import islice

from normfield.errors import InvalidInput
from normfield.sweep.engines import Engine, Finished, Job
from normfield.sweep.progress import Progress, Tally
from normfield.sweep.store import Store
from normfield.sweep.task import Outcome


def drive(
    store: Store,
    engine: Engine,
    *,
    retries: int = 2,
    progress: Callable[[Progress], object] | None = None,
) -> bool:
    """Run what is pending in a store on an engine that was started; False, or True where Ctrl-C cut it short.

    The engine goes on after this, and can be given what was added to the store meanwhile; only where it was cut
    short, or failed, its workers are ended. Groups that were running then are pending in the store.
    """
    try:
        _Drive(store, engine, retries, progress or (lambda _: None)).finish()
    except KeyboardInterrupt:
        engine.stop()
        return True
    except BaseException:
        engine.stop()
        raise
    return False


class _Drive:
    """Groups that wait, and how often each has failed in this session."""

    def __init__(
        self, store: Store, engine: Engine, retries: int, progress: Callable[[Progress], object]
    ) -> None:
        self._store, self._engine, self._retries, self._progress = store, engine, retries, progress
        status = store.status()
        self._tally = Tally(status.trials, status.finished, status.diverged, status.failed)
        self._failures: Counter[int] = Counter()
        self._waiting = _Waiting(store)

    def finish(self) -> None:
        """Keep every worker busy until nothing waits and nothing runs."""
        self._progress(self._tally.progress())
        while self._submit() or self._engine.busy:
            for finished in self._engine.wait():
                self._settle(finished)

    def _submit(self) -> bool:
        """Give a job to each free worker; True where more wait for one."""
        while self._engine.free and self._waiting:
            job = self._waiting.take()
            self._store.begin(job.number)
            self._engine.submit(job)
        return bool(self._waiting)

    def _settle(self, finished: Finished) -> None:
        """Commit a group, or try it again, or give each of its trials the error."""
        job, outcomes = finished.job, finished.outcomes
        if outcomes is None:
            outcomes = self._given_up(finished)
            if outcomes is None:
                self._waiting.put_back(job)
                return
        try:
            self._store.commit(job.number, outcomes)
        except InvalidInput as error:
            outcomes = [Outcome(error=str(error))] * len(job.points)
            self._store.commit(job.number, outcomes)
        self._tally.add(outcomes)
        self._progress(self._tally.progress())

    def _given_up(self, finished: Finished) -> list[Outcome] | None:
        """The error for every trial; None, and the failure noted in the store, while there are retries."""
        number, error = finished.job.number, finished.error or "no outcome and no error"
        self._failures[number] += 1
        tried = self._failures[number]
        if finished.again and tried <= self._retries:
            self._store.failed(number, error)
            return None
        told = error if tried == 1 else f"{error} (the last of {tried} attempts at its group)"
        return [Outcome(error=told)] * len(finished.job.points)


class _Waiting:
    """Jobs of the pending groups, read as they are wanted; those put back come first."""

    def __init__(self, store: Store) -> None:
        self._source = (Job(group.number, group.points) for group in store.pending())
        self._front: deque[Job] = deque()

    def __bool__(self) -> bool:
        if not self._front:
            self._front.extend(islice(self._source, 1))
        return bool(self._front)

    def take(self) -> Job:
        """The first; only where there is one."""
        return self._front.popleft()

    def put_back(self, job: Job) -> None:
        """Have it again."""
        self._front.appendleft(job)
