"""Doors of sweeps: run one, go on with one, read one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from normfield.errors import InvalidInput
from normfield.sweep.circumstances import circumstances, differences, threads_kept
from normfield.sweep.cutting import cut
from normfield.sweep.drive import drive
from normfield.sweep.engines import check_engine, engine_named, own_threads, threads_of
from normfield.sweep.points import Grid, listed
from normfield.sweep.progress import Progress
from normfield.sweep.store import Store
from normfield.sweep.sweep_result import Place, Sweep, swept
from normfield.sweep.task import Cell, Point, Resources, Task

Points = Grid | tuple[dict[str, Cell], ...]


def run_sweep(
    task: Task,
    points: Grid | Mapping[str, Sequence[Cell]] | Iterable[Point],
    store: str | Path | None = None,
    *,
    engine: str = "inline",
    workers: int | None = None,
    address: str | None = None,
    gpus_per_worker: float = 0.0,
    memory: float | None = None,
    recipe: str | None = None,
    retries: int = 2,
    progress: Callable[[Progress], object] | None = None,
) -> Sweep:
    """Run a task at every point, and keep each group of trials in one file as soon as it is done.

    The points are cut into groups of ``task.group(points)``, each of at most ``task.capacity(resources of a worker)``
    and of one worker's part of all points. A group is the unit of commit and of rerun, and is fixed in the store: a
    sweep that was killed at any moment and gone on with by `resume_sweep` gives the same values as one that was not.

    Parameters
    ----------
    task : Task
        What runs at a point, e.g. `nf.TrainingTask`.
    points : mapping of axis to values, Grid, or points
        A mapping is taken as the grid of all combinations.
    store : path, optional
        A new file; without one the trials last as long as the result.
    engine : "inline", "processes" or "ray"
        This process, spawned processes of this machine, or Ray actors (``pip install 'normfield[ray]'``).
    workers : int, optional
        How many groups run at the same time; one for each core, or as many as a cluster has room for.
    address : str, optional
        Of a Ray cluster; without one a local one is begun, and ended with the sweep.
    gpus_per_worker : float
        GPUs of each worker; 0.5 puts two workers on one.
    memory : float, optional
        Bytes for all workers together; half of what is free.
    recipe : str, optional
        How to make the task again, kept in the store for whoever resumes it.
    retries : int
        How often a group is tried again after its worker was lost or the task raised; then each of its trials is
        recorded as failed, with the reason.
    progress : callable, optional
        Called with `Progress` at once and after every group.

    Returns
    -------
    Sweep
        Also after Ctrl-C, with ``interrupted=True``; workers are ended, and groups that were running are pending.

    Raises
    ------
    InvalidInput
        An unknown axis, a point twice, a store that is there already or driven by another process, an engine that
        cannot be had, a task that cannot be sent to its workers.
    StoreError
        The disk is full or the file damaged; what was committed is kept.
    """
    check_engine(engine, workers, address, gpus_per_worker)
    _check_numbers(memory, retries)
    read = _points(points)
    axes = tuple(read.axes) if isinstance(read, Grid) else tuple(read[0])
    task.check(axes)
    place = Place(_new(store))
    threads = threads_of(engine, workers, address, own_threads())
    crew = engine_named(
        engine, workers=workers, address=address, gpus_per_worker=gpus_per_worker, threads=threads
    )
    try:
        crew.start(task)
        groups = cut(task, read, _most(task, crew.resources(memory), _count(read), crew.workers))
        with Store.create(
            place.path,
            axes=axes,
            points=read,
            groups=groups,
            keys=map(task.key, read),
            settings=task.settings,
            recipe=recipe,
            environment=circumstances(engine, crew.workers, threads),
        ) as kept:
            interrupted = drive(kept, crew, retries=retries, progress=progress)
    finally:
        crew.stop()
    return swept(place, interrupted)


def resume_sweep(
    store: str | Path,
    task: Task,
    *,
    engine: str = "inline",
    workers: int | None = None,
    address: str | None = None,
    gpus_per_worker: float = 0.0,
    again: bool = False,
    retries: int = 2,
    progress: Callable[[Progress], object] | None = None,
) -> Sweep:
    """Run what is still to be run in a store, with the groups that it was made with.

    Any engine goes on with what another began. Workers take the number of threads that the sweep was made with.

    Parameters
    ----------
    store : path
        A file that `run_sweep` made.
    task : Task
        The same task: its settings are compared with those in the store.
    again : bool
        Run groups with a failed trial again, as wholes; e.g. where workers were lost for want of memory.
    engine, workers, address, gpus_per_worker, retries, progress
        As of `run_sweep`.

    Returns
    -------
    Sweep
        As of `run_sweep`; ``notes`` says where versions or the machine are others than those it was made with.

    Raises
    ------
    InvalidInput
        No such store, one that another process drives, a task with other settings; and as of `run_sweep`.
    StoreError
        The disk is full or the file damaged; what was committed is kept.
    """
    check_engine(engine, workers, address, gpus_per_worker)
    _check_numbers(None, retries)
    place = Place(Path(store))
    with Store.open(place.path, write=True) as kept:
        _check_same(kept.settings, task.settings)
        task.check(tuple(kept.axes))
        threads = threads_kept(kept.environment) or threads_of(engine, workers, address, own_threads())
        used = own_threads() if engine == "inline" else threads
        notes = differences(kept.environment, circumstances(engine, workers or 1, used))
        status = kept.status()
        if status.complete and not (again and status.failed):
            return swept(place, notes=notes)
        crew = engine_named(
            engine, workers=workers, address=address, gpus_per_worker=gpus_per_worker, threads=threads
        )
        try:
            crew.start(task)
            if again:
                kept.reopen_failed()
            interrupted = drive(kept, crew, retries=retries, progress=progress)
        finally:
            crew.stop()
    return swept(place, interrupted, notes)


def read_sweep(store: str | Path) -> Sweep:
    """The sweep in a store as it stands, also while another process drives it.

    Parameters
    ----------
    store : path
        A file that `run_sweep` made.

    Raises
    ------
    InvalidInput
        No such file, or no store.
    StoreError
        The file is damaged.
    """
    return swept(Place(Path(store)))


def _points(given: Any) -> Points:
    if isinstance(given, Grid):
        return given
    if isinstance(given, Mapping):
        return Grid(given)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidInput(
            expected='axes by name, e.g. {"gamma": [0.1, 1.0]}, or a list of points', got=repr(given)
        )
    return listed(given)


def _count(points: Points) -> int:
    """Also of grids that are too large for ``len``."""
    return math.prod(map(len, points.axes.values())) if isinstance(points, Grid) else len(points)


def _most(task: Task, resources: Resources, points: int, workers: int) -> int:
    """Points of a group: what a worker can take, and no more than its part of all."""
    return max(1, min(task.capacity(resources), -(-points // workers)))


def _new(store: str | Path | None) -> Path | None:
    """Refuse a file that is there before anything is begun; the store itself looks again."""
    if store is None:
        return None
    if Path(store).exists():
        raise InvalidInput(
            expected="a new file for a new sweep",
            got=f"{store}, which is there",
            instead="go on with it by nf.resume_sweep, or choose another name",
        )
    return Path(store)


def _check_same(kept: Mapping[str, Cell], given: Mapping[str, Cell]) -> None:
    """The first setting that is another."""
    for name in [*kept, *(name for name in given if name not in kept)]:
        before, now = kept.get(name), given.get(name)
        if before != now:
            raise InvalidInput(
                expected=f"the task that the sweep was made with, {name}={before!r}",
                got=f"{name}={now!r}",
                instead="give that setting, or begin a sweep of its own",
            )


def _check_numbers(memory: Any, retries: Any) -> None:
    if memory is not None and not (isinstance(memory, int | float) and 0 < memory < math.inf):
        raise InvalidInput(expected="memory as a positive number of bytes", got=repr(memory))
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise InvalidInput(expected="retries as a whole number of at least 0", got=repr(retries))
