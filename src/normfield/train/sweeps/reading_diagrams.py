"""A phase diagram of trials that have been run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from normfield.sweep import Cell, Sweep, Trial
from normfield.train.sweeps.boundary_columns import boundary_columns
from normfield.train.sweeps.diagram import PhaseDiagram
from normfield.train.sweeps.pixels import ended_run, pixel_rows
from normfield.train.sweeps.theory_columns import theory_along
from normfield.train.sweeps.training_task import TrainingTask


def diagram_of(
    sweep: Sweep,
    trials: Sequence[Trial],
    task: TrainingTask | None,
    *,
    axis: str,
    columns: Sequence[Cell],
    rates: Sequence[float],
    restarts: int,
    seed: int,
    value: str,
    seconds: float,
    fixed: Mapping[str, Cell] | None = None,
) -> PhaseDiagram:
    """What trials over the learning rate and another axis say, beside theory where the task is known.

    Parameters
    ----------
    sweep, trials
        The sweep, and those of its trials that are drawn.
    task
        What ran them; None leaves theory out.
    axis, columns
        The other axis and its values.
    rates
        The learning rates, rising.
    restarts, seed
        Seeds of each pixel, and the first of them.
    value
        The column that pixels hold.
    seconds
        What is told as the time it took.
    fixed
        Other axes, each at one value.
    """
    runs = [ended_run(trial.point, trial.outcome, axis, value) for trial in trials]
    return PhaseDiagram(
        axis=axis,
        columns=boundary_columns(
            [run for run in runs if run is not None],
            columns,
            rates,
            restarts,
            largest_is_best=value == "test_accuracy",
        ),
        learning_rates=tuple(rates),
        pixels=pixel_rows(trials, axis, columns, rates, value),
        value=value,
        restarts=restarts,
        seed=seed,
        theory=() if task is None else theory_along(task, axis, columns, fixed),
        settings=sweep.settings,
        sweep=sweep,
        seconds=seconds,
    )
