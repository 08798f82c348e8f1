"""How a record is shown: its loss as a figure, and what the instruments cost as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import Column, Figure, Series, Table, lines

if TYPE_CHECKING:
    from normfield.train.monitoring.watched import Watched

MOST_POINTS = 2000
"""Of a curve in a figure; longer ones are drawn by every so-manieth step."""


def loss_figure(losses: Sequence[float | None]) -> Figure:
    """The loss of every step that was told, on a logarithmic axis where all are positive.

    Raises
    ------
    InvalidInput
        No finite loss was told.
    """
    told = [(step, loss) for step, loss in enumerate(losses) if loss is not None and math.isfinite(loss)]
    if not told:
        raise InvalidInput(
            expected="a loss that was told",
            got="none that is finite",
            instead="call monitor.step(batch, loss_value=loss)",
        )
    stride = math.ceil(len(told) / MOST_POINTS)
    steps, values = zip(*told[::stride], strict=True)
    series = [Series("each step", steps, values), *_smoothed(told, stride)]
    caption = f"Every {stride}th step is drawn." if stride > 1 else ""
    positive = all(value > 0 for value in values)
    return lines(
        series,
        "step",
        "loss of the step's batch",
        log_y=positive,
        title="Loss",
        caption=caption,
    )


def _smoothed(told: Sequence[tuple[int, float]], stride: int) -> list[Series]:
    """The mean over the last fiftieth of the steps; nothing for runs so short that it would be no mean."""
    window = len(told) // 50
    if window < 10:
        return []
    steps, values = zip(*told, strict=True)
    means = np.convolve(values, np.full(window, 1 / window), mode="valid")
    return [Series(f"mean of {window} steps", steps[window - 1 :: stride], means[::stride])]


def cost_table(watched: Sequence[Watched], training_seconds: float) -> Table:
    """A row for each instrument: schedule, runs, lateness, time and its part of the training time."""
    rows = [
        (
            each.name,
            each.every,
            each.runs,
            each.failures,
            each.late,
            each.longest_wait,
            each.seconds,
            100 * each.seconds / training_seconds if training_seconds > 0 else None,
        )
        for each in watched
    ]
    columns = [
        Column("instrument"),
        Column("every", unit="steps"),
        Column("measured"),
        Column("failed"),
        Column("late"),
        Column("longest wait", unit="steps"),
        Column("time", unit="s"),
        Column("of training", unit="%"),
    ]
    return Table("Instruments and what they cost", columns, rows)
