"""How a phase diagram is shown: as a heat map, as a table, as a page, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

from normfield.errors import InvalidInput
from normfield.report import Facts, Figure, Page, Section, Series, Statement, Table, format_number, heat_map
from normfield.sweep import Cell
from normfield.train.boundaries import BRACKETED
from normfield.train.sweeps.theory_rates import TheoryRates

if TYPE_CHECKING:
    from normfield.train.sweeps.diagram import PhaseDiagram

#: What the names of axes and values mean, for readers.
_WORDS = {
    "gamma": "batch-norm scale γ",
    "beta": "batch-norm shift β",
    "eps": "batch-norm ε",
    "weight_variance": "weight variance σ_w²",
    "bias_variance": "bias variance σ_b²",
    "batch_size": "batch size B",
    "momentum": "momentum μ",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
    "final_loss": "training loss at the end",
}
_LINES = {"batch": "η*, training mode", "published": "η*, published"}
_IN_WORDS = {"batch": "of theory in training mode", "published": "of theory as published"}
# A loss up to so many times the least has a colour of its own; an axis over so many times its least value is
# logarithmic.
_COLOURS, _LOG_AXIS = 30.0, 10.0


def diagram_figure(found: PhaseDiagram) -> Figure:
    """The map, with boundary, best rates and theory's lines.

    Raises
    ------
    InvalidInput
        No trial is finished yet.
    """
    known = [
        value
        for row, hidden in zip(found.values, found.exploded, strict=True)
        for value, gone in zip(row, hidden, strict=True)
        if value is not None and not gone
    ]
    if not known and not any(map(any, found.exploded)):
        raise InvalidInput(
            expected="at least one finished trial to draw",
            got=f"none of {found.sweep.status.trials}",
            instead="go on with it",
        )
    across = [column.at for column in found.columns]
    is_loss, is_positive = found.value != "test_accuracy", bool(known) and min(known) > 0
    return heat_map(
        list(map(str, across)) if not _are_numbers(across) else across,
        list(found.learning_rates),
        found.values,
        _words(found.axis),
        "learning rate η",
        _words(found.value),
        log_x=_is_logarithmic(across),
        log_y=_is_logarithmic(found.learning_rates),
        log_values=is_loss and is_positive,
        limits=_limits(known) if is_loss and is_positive else None,
        bright="low" if is_loss else "high",
        hatched=found.exploded,
        hatched_name="a restart diverged" if found.restarts > 1 else "diverged",
        series=_series(found, across),
        title=f"{_capital(_words(found.value))} over {_words(found.axis)} and learning rate",
        caption=_caption(found),
    )


def columns_table(found: PhaseDiagram) -> Table:
    """One row for each column: its boundary, best rate, and η*."""
    drawn = [line for line in found.theory if any(rate is not None for rate in line.learning_rates)]
    rows = [
        (
            _cell_words(column.at),
            column.learning_rate,
            _decades(column.log10),
            _decades(column.error),
            column.best_learning_rate,
            column.best_value,
            *(line.learning_rates[i] for line in drawn),
            column.status,
        )
        for i, column in enumerate(found.columns)
    ]
    theory = [_LINES.get(line.name, line.name) for line in drawn]
    names = [
        "diverges above",
        "log₁₀",
        "± decades",
        "best η",
        f"best {_words(found.value)}",
        *theory,
        "status",
    ]
    return Table(f"Where training diverges, along {_words(found.axis)}", [_words(found.axis), *names], rows)


def diagram_page(found: PhaseDiagram) -> Page:
    """The map, what it says of theory, and the numbers."""
    settings: list[tuple[str, float | str | None]] = [
        (name.replace("_", " "), str(value)) for name, value in found.settings.items() if value is not None
    ]
    return Page(
        f"Phase diagram over {_words(found.axis)} and learning rate",
        str(found.settings.get("data", "")).rpartition(" [")[0],
        [
            Section("", [Statement(*_headline(found)), found.figure]),
            Section(
                "Columns",
                columns_table(found),
                lead="The boundary is the mean over restarts; its error bar their "
                "spread and half a step of the grid.",
            ),
            Section("How it was trained", Facts(settings)),
        ],
        data={
            "axis": found.axis,
            "learning_rates": found.learning_rates,
            "values": found.values,
            "exploded": found.exploded,
        },
        footer=str(found.sweep.status),
    )


def written(found: PhaseDiagram) -> str:
    """What was run, a line for each column, how far off theory is."""
    head = (
        f"Phase diagram, {found.value} over {found.axis} ({len(found.columns)}) × learning_rate "
        f"({len(found.learning_rates)}), {found.restarts} restarts: {found.sweep.status}"
    )
    lines = [head, *(_column_line(found, i) for i in range(len(found.columns)))]
    lines += [f"  {_theory_line(found, line)}" for line in found.theory]
    lines += ["  interrupted: the same call with its store goes on"] if found.interrupted else []
    return "\n".join(lines)


def _series(found: PhaseDiagram, across: Sequence[Cell]) -> list[Series]:
    x: list[float] = list(across) if _are_numbers(across) else [float(i) for i in range(len(across))]
    lines = [
        Series(_LINES.get(line.name, line.name), x, line.learning_rates, "line" if i == 0 else "dashed")
        for i, line in enumerate(found.theory)
        if any(rate is not None for rate in line.learning_rates)
    ]
    bars = [(column.log10, column.error) for column in found.columns]
    low, high = (
        [None if log10 is None or error is None else 10 ** (log10 + sign * error) for log10, error in bars]
        for sign in (-1, 1)
    )
    points = []
    if any(log10 is not None for log10, _ in bars):
        edge = [column.learning_rate for column in found.columns]
        points.append(Series("measured boundary", x, edge, "markers", low=low, high=high))
    best = [column.best_learning_rate for column in found.columns]
    if any(rate is not None for rate in best):
        points.append(Series(f"best {_words(found.value)}", x, best, "markers"))
    return [*lines, *points]


def _headline(found: PhaseDiagram) -> tuple[str, str]:
    """The first theory that has a line here, in a sentence; the others below."""
    known = [line for line in found.theory if found.offset(line.name) is not None]
    if not known:
        return "Where training diverges was measured; theory has no line here.", " ".join(_reasons(found))
    first, rest = known[0], [line for line in found.theory if line is not known[0]]
    return f"{_theory_line(found, first)}.", " ".join(f"{_theory_line(found, line)}." for line in rest)


def _theory_line(found: PhaseDiagram, line: TheoryRates) -> str:
    """How far the boundary is from a line, and the best rate over it; or why there is no such line."""
    offset, best = found.offset(line.name), found.typical_best_over(line.name)
    how = _IN_WORDS.get(line.name, line.name)
    if offset is None:
        return f"No η* {how}: {line.reason or 'no column whose boundary the grid holds'}"
    scatter = "" if offset.scatter is None else f"scatter {offset.scatter:.2f}, "
    columns = f"{offset.columns} column{'s' if offset.columns > 1 else ''}"
    ratio = "" if best is None else f"; the best rate is {format_number(best, 2)} η*"
    side = "above" if offset.median >= 0 else "below"
    return f"Training diverges {abs(offset.median):.2f} decades {side} η* {how} ({scatter}{columns}){ratio}"


def _column_line(found: PhaseDiagram, i: int) -> str:
    column = found.columns[i]
    name = f"  {found.axis} = {_cell_words(column.at)}:"
    if column.log10 is None or column.error is None:
        return f"{name} {column.status}"
    best = column.best_learning_rate
    held = "" if column.status == BRACKETED else f"; {column.status}"
    told = f"{name} diverges above {format_number(column.learning_rate)} (± {column.error:.2f} decades{held})"
    at_best = "" if best is None else f", best at {format_number(best)} ({format_number(column.best_value)})"
    return f"{told}{at_best}"


def _caption(found: PhaseDiagram) -> str:
    runs = f"mean of {found.restarts} restarts" if found.restarts > 1 else "one run each"
    bars = (
        "spread over restarts and half a step of the grid"
        if found.restarts > 1
        else "half a step of the grid"
    )
    return " ".join([f"Colours: {runs}.", f"Bars: {bars}.", *_reasons(found)])


def _reasons(found: PhaseDiagram) -> list[str]:
    """Why lines of theory are missing, each reason once."""
    reasons = dict.fromkeys(line.reason for line in found.theory if line.reason)
    return [f"Where no η* is drawn: {reason.rstrip('.')}." for reason in reasons]


def _limits(known: Sequence[float]) -> tuple[float, float] | None:
    low, high = min(known), min(max(known), _COLOURS * min(known))
    return (low, high) if high > low else None


def _is_logarithmic(values: Sequence[Cell]) -> bool:
    return _are_numbers(values) and min(values) > 0 and max(values) >= _LOG_AXIS * min(values)


def _are_numbers(values: Sequence[Cell]) -> TypeGuard[Sequence[float]]:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _cell_words(value: Cell) -> str:
    return (
        format_number(value, 4)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str(value)
    )


def _words(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _decades(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
