"""The door to phase diagrams: a grid of trainings as a sweep, and what it says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from normfield.errors import InvalidInput
from normfield.seeds import whole_seed
from normfield.sweep import Cell, Grid, Progress, Store, Sweep, read_sweep, resume_sweep, run_sweep
from normfield.train.epochs import Probes
from normfield.train.settings import positive, whole
from normfield.train.sweeps.diagram import PhaseDiagram
from normfield.train.sweeps.reading_diagrams import diagram_of
from normfield.train.sweeps.training_task import TrainingTask

_VALUES = ("test_loss", "test_accuracy", "final_loss")
_RATE, _SEED = "learning_rate", "seed"


def phase_diagram(
    build: Any,
    data: Any,
    axes: Mapping[str, Sequence[Cell]],
    *,
    restarts: int = 5,
    seed: int = 0,
    value: str | None = None,
    store: str | Path | None = None,
    engine: str = "inline",
    workers: int | None = None,
    address: str | None = None,
    gpus_per_worker: float = 0.0,
    loss: str | Callable = "squared",
    batch_size: int | None = 128,
    epochs: int = 3,
    steps: int | None = None,
    momentum: float = 0.9,
    optimizer: str = "sgd",
    samples: int | None = None,
    shared_order: bool = False,
    precision: str | None = None,
    compiled: bool | str = "auto",
    divergence_factor: float = 1e3,
    probes: Probes | None = None,
    memory: float | None = None,
    device: str | None = None,
    threads: int | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> PhaseDiagram:
    """Train over a grid of learning rates and another axis, and say where it diverges, beside theory's line.

    Every pixel is trained with several seeds, many pixels at once as ensembles. The boundary of a column is found for
    each restart as the lowest η that diverged, half-way to the next lower one of the grid in log₁₀η; the mean over
    restarts is the boundary, their spread and half a step its error bar. Theory is η* = 2(1 + μ)/λ_max [Wei, Eq. 7] of
    each column's network at infinite width, in training mode ("batch") and as published.

    Parameters
    ----------
    build, data
        As for `TrainingTask`.
    axes : mapping of name to values
        ``learning_rate``, values of η, and one other axis of the task: of a Network gamma, beta, eps, weight_variance,
        bias_variance, activation, batch_norm, width or depth; of a function one of its arguments; batch_size, momentum,
        loss.
    restarts, seed : int
        Runs of each pixel, with seeds ``seed``, ``seed + 1``, ...: initial weights and order of the data.
    value : {"test_loss", "test_accuracy", "final_loss"}, optional
        What the pixels hold; by default the test loss, without test data the training loss at the end.
    store : path, optional
        File that keeps the trials. Where it is there already the diagram goes on with what is missing in it.
    engine, workers, address, gpus_per_worker, memory
        As for `run_sweep`.
    loss, batch_size, epochs, steps, momentum, optimizer, samples, shared_order, precision, compiled, device
        As for `TrainingTask`.
    divergence_factor, probes, threads
        As for `TrainingTask`.
    progress : callable, optional
        Called with `Progress` after every group of trials.

    Returns
    -------
    PhaseDiagram
        Also after Ctrl-C, of the trials that were finished, with ``interrupted=True``.

    Raises
    ------
    InvalidInput
        Other axes than these, fewer than two learning rates or one that is not positive, a store of another diagram,
        and whatever `TrainingTask` and `run_sweep` refuse.

    Examples
    --------
    >>> from normfield.network import mlp
    >>> found = phase_diagram(mlp(64, 16, 3, 10), "digits", {"gamma": [1.0], "learning_rate": [0.1, 1e3]},
    ...     restarts=2, samples=256, epochs=1)
    >>> found.exploded
    [[False], [True]]
    """
    began = time.monotonic()
    axis, grid = _grid(axes, restarts, seed)
    task = TrainingTask(
        build,
        data,
        loss=loss,
        batch_size=batch_size,
        epochs=epochs,
        steps=steps,
        momentum=momentum,
        optimizer=optimizer,
        samples=samples,
        shared_order=shared_order,
        precision=precision,
        compiled=compiled,
        divergence_factor=divergence_factor,
        probes=probes,
        device=device,
        threads=threads,
    )
    task.check(tuple(grid.axes))
    shown = _value(value, task)
    crew: dict[str, Any] = {
        "engine": engine,
        "workers": workers,
        "address": address,
        "gpus_per_worker": gpus_per_worker,
        "progress": progress,
    }
    sweep = _swept(task, grid, store, memory, crew)
    columns, rates = tuple(grid.axes[axis]), sorted(map(float, _numbers(grid.axes[_RATE])))
    return diagram_of(
        sweep,
        list(sweep.results()),
        task,
        axis=axis,
        columns=columns,
        rates=rates,
        restarts=restarts,
        seed=seed,
        value=shown,
        seconds=time.monotonic() - began,
    )


def _grid(axes: Any, restarts: Any, seed: Any) -> tuple[str, Grid]:
    """The name of the other axis, and the grid with the seeds of all restarts."""
    given = Grid(axes).axes
    others = [name for name in given if name != _RATE]
    if len(given) != 2 or len(others) != 1 or others[0] == _SEED:
        raise InvalidInput(
            expected="two axes, learning_rate and one other than seed",
            got=", ".join(given),
            instead='give e.g. {"gamma": [0.1, 1.0], "learning_rate": [0.01, 0.1, 1.0]}',
        )
    whole(restarts, "restarts", 1)
    for rate in given[_RATE]:
        positive(rate, _RATE)
    if len(given[_RATE]) < 2:
        raise InvalidInput(expected="at least two learning rates", got="1", instead="give a range of them")
    first = whole_seed(seed)
    return others[0], Grid({**given, _SEED: range(first, first + restarts)})


def _value(asked: Any, task: TrainingTask) -> str:
    if asked is not None and asked not in _VALUES:
        raise InvalidInput(expected=f"value one of {', '.join(_VALUES)}", got=repr(asked))
    tested = task.data.test_inputs is not None
    if asked is not None and asked.startswith("test") and not tested:
        raise InvalidInput(
            expected=f"test data for value={asked!r}", got="none", instead="give value='final_loss'"
        )
    return asked or ("test_loss" if tested else "final_loss")


def _swept(
    task: TrainingTask, grid: Grid, store: str | Path | None, memory: float | None, crew: Mapping[str, Any]
) -> Sweep:
    """The sweep: a new one, or one in a store gone on with."""
    if store is None or not Path(store).exists():
        return run_sweep(task, grid, store, memory=memory, **crew)
    _check_same_grid(task, grid, Path(store))
    return resume_sweep(store, task, **crew)


def _check_same_grid(task: TrainingTask, grid: Grid, store: Path) -> None:
    """Refuse a store of the same task on another grid; of another task, resuming it is refused."""
    kept = read_sweep(store)
    if dict(kept.settings) != dict(task.settings):
        return
    with Store.open(store) as opened:
        pending = {key for group in opened.pending() for key in group.keys}
    keys = {*pending, *(trial.key for trial in kept.results())}
    if keys != {task.key(point) for point in grid}:
        raise InvalidInput(
            expected=f"a store of this grid, or a new file, at {store.name}",
            got=f"one of {len(keys)} other trials over {', '.join(kept.axes)}",
            instead="give the axes, restarts and seed that it was made with, or another file",
        )


def _numbers(values: Sequence[Cell]) -> list[float]:
    return [value for value in values if isinstance(value, int | float)]
