"""How a traced boundary is shown: as a figure, as a table, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

from normfield.errors import InvalidInput
from normfield.report import Figure, Series, Table, format_number, lines
from normfield.sweep import Cell
from normfield.train.descent import DIVERGED

if TYPE_CHECKING:
    from normfield.train.boundary_lines.column import BoundaryColumn
    from normfield.train.boundary_lines.line import BoundaryLine
    from normfield.train.sweeps.boundary_columns import Offset


def line_figure(found: BoundaryLine) -> Figure:
    """Learning rate over the axis: runs that trained, runs that diverged, the boundary between them, and η*.

    Raises
    ------
    InvalidInput
        No run was made.
    """
    if not found.runs:
        raise InvalidInput(
            expected="at least one run to draw", got=found.status, instead="give it a larger budget"
        )
    x = _places([column.at for column in found.columns])
    place = {column.at: x[i] for i, column in enumerate(found.columns)}
    series = [_boundary(found.columns, x)] if any(c.log10 is not None for c in found.columns) else []
    series += [
        Series(f"η* by theory, {line.name}", x, [_rate(y) for y in line.log10], style="dashed")
        for line in found.theory
        if any(y is not None for y in line.log10)
    ]
    series += _runs(found, place)
    numbers = all(_is_number(column.at) for column in found.columns)
    return lines(
        series,
        found.axis if numbers else f"{found.axis}: {', '.join(str(c.at) for c in found.columns)}",
        "learning rate η",
        log_x=numbers and min(x) > 0 and max(x) >= 10 * min(x),
        log_y=True,
        title=f"Where training diverges, along {found.axis}",
        caption="Every run as a point. The line is the mean over restarts; tinted: the spread over restarts and the "
        "width of the brackets.",
    )


def columns_table(found: BoundaryLine) -> Table:
    """One row for each value of the axis."""
    names = [f"η*, {line.name}" for line in found.theory]
    rows = [
        (
            str(column.at),
            column.learning_rate,
            _decades(column.log10),
            _decades(column.spread),
            *(_rate(line.log10[i]) for line in found.theory),
            column.status,
        )
        for i, column in enumerate(found.columns)
    ]
    title = f"Where training diverges, along {found.axis}"
    return Table(title, [found.axis, "learning rate", "log₁₀", "spread", *names, "status"], rows)


def written(found: BoundaryLine) -> str:
    """A line for each column, then what it cost and how far off theory is."""
    head = f"Divergence boundary along {found.axis}, {found.restarts} restarts: {found.status}"
    return "\n".join([head, *(_column_line(found, column) for column in found.columns), *_ending(found)])


def _column_line(found: BoundaryLine, column: BoundaryColumn) -> str:
    value = format_number(column.at, 4) if _is_number(column.at) else column.at
    if column.log10 is None:
        return f"  {found.axis} = {value}: {column.status}"
    spread = "" if column.spread is None else f", spread {column.spread:.2f}"
    line = f"  {found.axis} = {value}: η = {column.learning_rate:.3g} (log₁₀ {column.log10:+.2f}{spread}, "
    line += f"brackets ±{column.half_width:.3f})"
    return line if column.status == "bracketed" else f"{line}; {column.status}"


def _ending(found: BoundaryLine) -> list[str]:
    share = found.share_of_full_grid
    cost = f"  {len(found.runs)} runs"
    if share is not None:
        cost += f"; a full grid of the same resolution and span has {found.full_grid_runs:,} ({share:.1%})"
    theory = [f"  {_offset_line(name, offset)}" for name, offset in found.offsets.items()]
    missing = dict.fromkeys(line.reason for line in found.theory if line.reason)
    return [f"{cost}, {found.seconds:.1f} s", *theory, *(f"  where there is no η*: {why}" for why in missing)]


def _offset_line(name: str, offset: Offset) -> str:
    side = "above" if offset.median >= 0 else "below"
    scatter = "" if offset.scatter is None else f", scatter {offset.scatter:.2f}"
    return f"theory, {name}: runs diverge {abs(offset.median):.2f} decades {side} η*{scatter}"


def _boundary(columns: Sequence[BoundaryColumn], x: Sequence[float]) -> Series:
    bars = [math.hypot(column.spread or 0.0, column.half_width or 0.0) for column in columns]
    low, high = (
        [
            _rate(None if c.log10 is None else c.log10 + sign * bar)
            for c, bar in zip(columns, bars, strict=True)
        ]
        for sign in (-1, 1)
    )
    return Series("boundary", x, [column.learning_rate for column in columns], low=low, high=high)


def _runs(found: BoundaryLine, place: dict[Cell, float]) -> list[Series]:
    """The runs that trained and those that diverged, where there are any."""
    sides = {
        "trained": [run for run in found.runs if run.status != DIVERGED],
        "diverged": [run for run in found.runs if run.status == DIVERGED],
    }
    return [
        Series(
            name,
            [place[run.at] for run in runs],
            [10.0**run.log10 for run in runs],
            style="markers",
            hover=[f"{found.axis} = {run.at}, seed {run.seed}, {run.status}" for run in runs],
        )
        for name, runs in sides.items()
        if runs
    ]


def _places(values: Sequence[Cell]) -> list[float]:
    """Numbers where they are; anything else in its order."""
    numbers = [float(value) for value in values if _is_number(value)]
    return numbers if len(numbers) == len(values) else [float(i) for i in range(len(values))]


def _is_number(value: Cell) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rate(log10: float | None) -> float | None:
    return None if log10 is None else 10.0**log10


def _decades(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
