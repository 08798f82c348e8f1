"""Pictures of any sweep's trials: a value over one axis or over two, means over whatever else was varied."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from normfield.errors import InvalidInput
from normfield.report import Figure, Series, heat_map, lines
from normfield.sweep import Cell, Trial

_DIVERGED = "diverged"
_LOG_AXIS = 10.0


def axes_drawn(trials: Sequence[Trial]) -> dict[str, list[Cell]]:
    """Axes but the seed that have more than one value among the trials, with these in order."""
    names = [name for name in trials[0].point if name != "seed"]
    found = {name: _ordered({trial.point[name] for trial in trials}) for name in names}
    return {name: values for name, values in found.items() if len(values) > 1}


def value_drawn(trials: Sequence[Trial], asked: str | None) -> str:
    """The column to draw: the one asked for, else the test loss, or without test data the loss at the end.

    Raises
    ------
    InvalidInput
        There are no numbers in it.
    """
    known = {
        name: None for trial in trials for name, value in trial.outcome.values.items() if _is_number(value)
    }
    for name in (asked,) if asked is not None else ("test_loss", "final_loss", *known):
        if name in known:
            return name
    raise InvalidInput(
        expected=f"--value among {', '.join(known)}" if known else "trials with numbers to draw",
        got="none" if asked is None or not known else asked,
    )


def line_over(trials: Sequence[Trial], name: str, values: Sequence[Cell], column: str) -> Figure:
    """The mean of a column along one axis, with the range over restarts; where a run diverged there is a gap."""
    cells = _cells(trials, (name,), column)
    held = [cells.get((value,), []) for value in values]
    kept = [[x for x in found if x is not None] if None not in found else [] for found in held]
    if not any(kept):
        raise InvalidInput(expected=f"a finished trial with {column} to draw", got="none")
    numbers = [float(value) for value in values if _is_number(value)]  # type: ignore[arg-type]
    x = numbers if len(numbers) == len(values) else [float(i) for i in range(len(values))]
    known = [number for found in kept for number in found]
    series = Series(
        column,
        x,
        [statistics.fmean(found) if found else None for found in kept],
        low=[min(found, default=None) for found in kept],
        high=[max(found, default=None) for found in kept],
        hover=[f"{name} = {value}" for value in values],
    )
    return lines(
        [series],
        name if x is numbers else f"{name}: {', '.join(map(str, values))}",
        column,
        log_x=x is numbers and _is_logarithmic(values),
        log_y=min(known) > 0 and max(known) > _LOG_AXIS * min(known),
        title=f"{column} along {name}",
        caption="Mean over restarts, tinted their range; a gap where a restart diverged.",
    )


def map_over(
    trials: Sequence[Trial], across: str, up: str, axes: Mapping[str, Sequence[Cell]], column: str
) -> Figure:
    """The mean of a column over two axes; cells in which a run diverged are hatched."""
    cells = _cells(trials, (across, up), column)
    places = [[cells.get((x, y), []) for x in axes[across]] for y in axes[up]]
    hatched = [[None in found for found in row] for row in places]
    means = [[_mean(found) for found in row] for row in places]
    return heat_map(
        _ticks(axes[across]),
        _ticks(axes[up]),
        means,
        across,
        up,
        column,
        log_x=_is_logarithmic(axes[across]),
        log_y=_is_logarithmic(axes[up]),
        hatched=hatched,
        hatched_name="a run diverged",
        bright="high" if "accuracy" in column else "low",
        title=f"{column} over {across} and {up}",
        caption="Mean over restarts.",
    )


def _cells(
    trials: Iterable[Trial], names: Sequence[str], column: str
) -> dict[tuple[Cell, ...], list[float | None]]:
    """Values by place; None for a run that diverged, nothing for one that failed."""
    found: dict[tuple[Cell, ...], list[float | None]] = {}
    for trial in trials:
        value = trial.outcome.values.get(column)
        if trial.outcome.values.get("status") == _DIVERGED:
            value = None
        elif not _is_number(value):
            continue
        found.setdefault(tuple(trial.point[name] for name in names), []).append(value)  # type: ignore[arg-type]
    return found


def _mean(found: Sequence[float | None]) -> float | None:
    numbers = [x for x in found if x is not None]
    return statistics.fmean(numbers) if numbers else None


def _ordered(values: Iterable[Cell]) -> list[Cell]:
    """Numbers by size; anything else by name, after them."""
    return sorted(values, key=lambda value: (0, value, "") if _is_number(value) else (1, 0, str(value)))


def _ticks(values: Sequence[Cell]) -> list[float] | list[str]:
    if all(_is_number(value) for value in values):
        return [float(value) for value in values]  # type: ignore[arg-type]
    return [str(value) for value in values]


def _is_logarithmic(values: Sequence[Cell]) -> bool:
    numbers = [float(value) for value in values if _is_number(value)]  # type: ignore[arg-type]
    return len(numbers) == len(values) and min(numbers) > 0 and max(numbers) >= _LOG_AXIS * min(numbers)


def _is_number(value: Cell) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
