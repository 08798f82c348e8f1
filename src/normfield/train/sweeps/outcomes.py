"""A run as the outcome of a trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from normfield.sweep import Cell, Outcome
from normfield.train.epochs import Epoch
from normfield.train.run import Run

COLUMNS = ("status", "diverged_at", "first_loss", "final_loss", "test_loss", "test_accuracy", "ended_worse")


def outcome_of(run: Run) -> Outcome:
    """The columns of a run and what was recorded by epoch; a number that is not finite is missing."""
    values: dict[str, Cell] = {name: _cell(getattr(run, name)) for name in COLUMNS}
    return Outcome(values, _curves(run.by_epoch), seconds=run.seconds)


def _curves(epochs: Sequence[Epoch]) -> Mapping[str, Sequence[float | None]]:
    """A curve for each number that was recorded at all."""
    rows = [epoch.row() for epoch in epochs]
    names = [name for name in (rows[0] if rows else {}) if name != "epoch"]
    curves = {name: [_number(row[name]) for row in rows] for name in names}
    return {name: curve for name, curve in curves.items() if any(each is not None for each in curve)}


def _cell(value: Cell) -> Cell:
    return _number(value) if isinstance(value, float) else value


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
