"""η* by theory along an axis of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from normfield.network import Network
from normfield.sweep import Cell, Point
from normfield.train.sweeps.theory_rates import Column, TheoryRates, theory_rates
from normfield.train.sweeps.training_task import TrainingTask


def theory_along(
    task: TrainingTask, axis: str, columns: Sequence[Cell], fixed: Mapping[str, Cell] | None = None
) -> tuple[TheoryRates, ...]:
    """η* at each value of an axis, the others fixed or as the task has them, by each way to take batch norm."""
    return theory_rates([_column(task, {**(fixed or {}), axis: at}) for at in columns])


def _column(task: TrainingTask, point: Point) -> Column:
    settings = {**task.settings, **point}
    return Column(
        _network(task, point), settings["loss"], str(settings["optimizer"]), float(settings["momentum"] or 0)
    )


def _network(task: TrainingTask, point: Point) -> Network | None:
    """A column's description; None without one, also where the user's function raises."""
    try:
        return task.network(point)
    except (Exception, SystemExit):
        return None
