"""The door to traced boundaries: waves of trainings, asked for by a trace over the axis."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from normfield.seeds import whole_seed
from normfield.sweep import Cell
from normfield.sweep.tracing import BoundaryTrace
from normfield.train.boundaries import BRACKETED
from normfield.train.boundary_lines.asked import TRACED, guide, limits_of, one_axis
from normfield.train.boundary_lines.column import BoundaryColumn
from normfield.train.boundary_lines.line import BoundaryLine
from normfield.train.boundary_lines.trained import InMemory, InStore
from normfield.train.boundary_lines.waves import Waves
from normfield.train.settings import positive, whole
from normfield.train.sweeps import TrainingTask
from normfield.train.sweeps.theory_columns import theory_along
from normfield.train.trials import BUDGET_SPENT


def trace_boundary(
    build: Any,
    data: Any,
    axis: Mapping[str, Sequence[Cell]],
    *,
    loss: str | Callable = "squared",
    batch_size: int | None = 128,
    momentum: float = 0.9,
    epochs: int = 3,
    steps: int | None = None,
    restarts: int = 3,
    resolution: float = 0.05,
    seed: int = 0,
    start: float | Sequence[float] | None = None,
    limits: tuple[float, float] | None = None,
    store: str | PathLike[str] | None = None,
    samples: int | None = None,
    optimizer: str = "sgd",
    precision: str | None = None,
    compiled: bool | str = "auto",
    device: str | None = None,
    budget: float | None = None,
    progress: Callable[[str], object] | None = None,
) -> BoundaryLine:
    """Find the learning rate above which training diverges, along an axis, with few of a full grid's trainings.

    At each value of the axis and in each restart log₁₀η is bracketed to ``resolution``. The ends of the axis come
    first, then each middle of a gap, begun where its neighbours expect the boundary; restarts begin at the first one's
    boundary. All that can be run at a time is trained together (`train_ensemble`), grouped by shape. The waves follows
    η* = 2(1+μ)/λ_max [Wei, Eq. 7] where theory has it. A run diverges as `train_once` says.

    Parameters
    ----------
    build
        A Network, a callable seed -> module that takes the axis as a keyword, or a module: as for `TrainingTask`.
    data
        All that ``normfield.data.load`` takes.
    axis
        One name with its values, in an order in which neighbours are alike: e.g. ``{"gamma": [0.1, 0.3, 1, 3]}``. Any
        axis of `TrainingTask` but learning_rate and seed, which are the trace's own.
    loss, batch_size, momentum, epochs, steps, samples, optimizer, precision, compiled, device
        As for `TrainingTask`.
    restarts
        How often each boundary is found, with seeds ``seed``, ``seed + 1``, ...; their spread is the error bar.
    resolution
        Width in decades at which a bracket is closed.
    start
        A first guess of the boundary, one learning rate or one for each value. By default η* in training mode where
        theory has it at every value, else 0.1.
    limits
        Lowest and highest learning rate that are ever run; by default 1e-12 and 1e6.
    store
        File that keeps every training; run again with it, the trace goes on from there.
    budget
        Seconds after which no further group of runs is begun.
    progress
        Called with one line after every wave.

    Returns
    -------
    BoundaryLine
        Also after Ctrl-C or a spent budget, with what there is and a status that says so.

    Raises
    ------
    InvalidInput
        For an unknown axis, settings out of range, data that do not fit, or a store of another sweep.

    Examples
    --------
    >>> import torch
    >>> data = (torch.eye(2) * 2**0.5, torch.eye(2))
    >>> found = trace_boundary(torch.nn.Linear(2, 2), data, {"momentum": [0.0, 0.5]}, batch_size=None, epochs=400,
    ...     restarts=1)
    >>> [round(column.learning_rate, 1) for column in found.columns]
    [1.0, 1.5]
    """
    began = time.monotonic()
    name, values = one_axis(axis)
    seed = whole_seed(seed)
    whole(restarts, "restarts", 1)
    positive(resolution, "resolution")
    if budget is not None:
        positive(budget, "budget")
    task = TrainingTask(
        build, data, loss=loss, batch_size=batch_size, epochs=epochs, steps=steps, momentum=momentum,
        optimizer=optimizer, samples=samples, precision=precision, compiled=compiled, device=device,
        every_epoch=False,
    )  # fmt: skip
    task.check([name, *TRACED])
    lines = theory_along(task, name, values)
    between = limits_of(limits)
    trace = BoundaryTrace(
        len(values),
        restarts=restarts,
        resolution=resolution,
        guide=guide(start, lines, len(values), between),
        limits=between,
    )
    waves = Waves(
        trace, name, values, seed, math.inf if budget is None else began + budget, progress, restarts
    )
    waves.train(InMemory(task) if store is None else InStore(task, Path(store), (name, *TRACED)))
    columns = waves.columns()
    return BoundaryLine(
        axis=name,
        columns=columns,
        runs=waves.ended_runs(),
        theory=lines,
        status=_status(columns, waves.stopped, budget),
        resolution=resolution,
        restarts=restarts,
        seed=seed,
        settings=dict(task.settings),
        reused=waves.reused,
        seconds=time.monotonic() - began,
    )


def _status(columns: Sequence[BoundaryColumn], stopped: str | None, budget: float | None) -> str:
    """All columns together."""
    closed = [column for column in columns if column.status == BRACKETED]
    if len(closed) == len(columns):
        return BRACKETED
    words = f"{len(closed)} of {len(columns)} columns bracketed"
    if stopped is not None:
        why = f"budget of {budget:.3g} s spent" if stopped == BUDGET_SPENT else stopped
        return f"{why}: {words}"
    reason = next(column.status for column in columns if column.status != BRACKETED)
    return f"{words}; otherwise {reason}"
