"""What instruments found, as curves over steps and as maps over steps and layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from normfield.report import Figure, Mark, Series, heat_map, lines
from normfield.train.monitoring import MonitorRecord

MOST_LINES = 6
"""Layers that are drawn as lines; more become rows of a heat map."""

MOST_COLUMNS = 60
"""Steps of a heat map; of more, every so-manieth is drawn."""

MOST_NAMES = 26
"""Layers that are named beside a heat map; more are numbered."""

STEP = "training step"


def last_with_step(
    record: MonitorRecord, instrument: str, quantity: str, layer: str | None = None
) -> tuple[int, float] | None:
    """The last finite value and the step at which it was measured; None where there is none."""
    if not record.has(instrument, quantity, layer):
        return None
    steps, values = (each.tolist() for each in record.curve(instrument, quantity, layer))
    finite = [pair for pair in zip(steps, values, strict=True) if math.isfinite(pair[1])]
    return finite[-1] if finite else None


def last(record: MonitorRecord, instrument: str, quantity: str, layer: str | None = None) -> float | None:
    """The last finite value; None where there is none."""
    found = last_with_step(record, instrument, quantity, layer)
    return None if found is None else found[1]


def curves(
    record: MonitorRecord,
    instrument: str,
    named: Mapping[str, str],
    value_title: str,
    *,
    log: bool = True,
    marks: Sequence[Mark] = (),
    title: str = "",
    caption: str = "",
) -> Figure | None:
    """Quantities of the whole model over steps, by quantity and name in the legend; None where there is no value."""
    series = [
        Series(name, *_points(record, instrument, quantity))
        for quantity, name in named.items()
        if record.has(instrument, quantity)
    ]
    shown = [each for each in series if _can_be_drawn(each.y, log)]
    if not shown:
        return None
    return lines(shown, STEP, value_title, log_y=log, marks=marks, title=title, caption=caption)


def by_layer(
    record: MonitorRecord,
    instrument: str,
    quantity: str,
    value_title: str,
    *,
    log: bool = True,
    title: str = "",
    caption: str = "",
) -> Figure | None:
    """One quantity of every layer over steps: lines of few layers, a map of many; None where there is no value."""
    layers = record.layers(instrument, quantity)
    series = [Series(layer, *_points(record, instrument, quantity, layer)) for layer in layers]
    shown = [each for each in series if _can_be_drawn(each.y, log)]
    if not shown:
        return None
    if len(shown) <= MOST_LINES or len({x for each in shown for x in each.x}) < 2:
        few = shown if len(shown) <= MOST_LINES else _spread(shown)
        return lines(few, STEP, value_title, log_y=log, title=title, caption=caption)
    return _map(shown, value_title, log, title, caption)


def _map(series: Sequence[Series], value_title: str, log: bool, title: str, caption: str) -> Figure:
    every = sorted({x for each in series for x in each.x if x is not None})
    steps = every[:: math.ceil(len(every) / MOST_COLUMNS)]
    found = [dict(zip(each.x, each.y, strict=True)) for each in series]
    names = [each.name for each in series]
    numbered = len(names) > MOST_NAMES
    first_and_last = f"Layer 1 is {names[0]}, layer {len(names)} is {names[-1]}." if numbered else ""
    return heat_map(
        steps,
        list(range(1, len(names) + 1)) if numbered else names,
        [[values.get(step) for step in steps] for values in found],
        STEP,
        "layer, from the input upwards",
        value_title,
        log_values=log,
        title=title,
        caption=" ".join(filter(None, [caption, first_and_last])),
    )


def _points(
    record: MonitorRecord, instrument: str, quantity: str, layer: str | None = None
) -> tuple[list[int], list[float]]:
    steps, values = record.curve(instrument, quantity, layer)
    return steps.tolist(), values.tolist()


def _can_be_drawn(values: Iterable[float | None], log: bool) -> bool:
    return any(value is not None and math.isfinite(value) and (value > 0 or not log) for value in values)


def _spread(series: Sequence[Series]) -> list[Series]:
    """As many as can be told apart, from the first to the last."""
    stride = (len(series) - 1) / (MOST_LINES - 1)
    return [series[round(number * stride)] for number in range(MOST_LINES)]
