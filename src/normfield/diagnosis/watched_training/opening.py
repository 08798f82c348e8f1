"""The top of the page: what became of the run, in a sentence and on cards."""

from __future__ import annotations

import math

from normfield.diagnosis.watched_training.drawing import last
from normfield.report import Card, Cards, Statement, format_number
from normfield.train.monitoring import MonitorRecord


def statement(record: MonitorRecord) -> Statement:
    """How the loss went, where the learning rate stood, and what watching cost."""
    edge = at_the_edge(record)
    stood = ""
    if edge is not None:
        step, value = edge
        stood = f" At step {step:,} the learning rate was {format_number(value)} of the edge of stability."
    return Statement(_course(record), f"{stood} {_cost(record)}".strip())


def at_the_edge(record: MonitorRecord) -> tuple[int, float] | None:
    """The last measurement of η·Λ/2 that is finite, and its step; None where there is none."""
    found = edge_values(record)
    return found[-1] if found else None


def edge_values(record: MonitorRecord) -> list[tuple[int, float]]:
    """Steps and finite values of η·Λ/2, as the optimizer steps where that is known."""
    for quantity in ("preconditioned_sharpness_times_rate", "sharpness_times_rate"):
        if record.has("edge", quantity):
            steps, values = (each.tolist() for each in record.curve("edge", quantity))
            return [pair for pair in zip(steps, values, strict=True) if math.isfinite(pair[1])]
    return []


def told_losses(record: MonitorRecord) -> list[float]:
    """The losses that were told, in order."""
    return [loss for loss in record.losses if loss is not None]


def _course(record: MonitorRecord) -> str:
    told = told_losses(record)
    steps = f"{format_number(record.steps)} {'step' if record.steps == 1 else 'steps'}"
    if not told:
        return f"{steps} of training; the loss was not told."
    if not math.isfinite(told[-1]):
        return f"After {steps} the loss is no longer finite."
    ends = _ends(told)
    moved = "fell" if ends[1] < ends[0] else "rose"
    return f"The loss {moved} from {format_number(ends[0])} to {format_number(ends[1])} in {steps}."


def _ends(told: list[float]) -> tuple[float, float]:
    """Means of the first and of the last twentieth of the steps: a single batch's loss says little."""
    count = max(len(told) // 20, 1)
    return sum(told[:count]) / count, sum(told[-count:]) / count


def _cost(record: MonitorRecord) -> str:
    if math.isnan(record.overhead):
        return ""
    return f"Watching took {format_number(100 * record.overhead, 2)} % of the training time."


def cards(record: MonitorRecord) -> Cards:
    """Loss, edge, smoothness and overhead; what was not measured is left out."""
    found = [_loss_card(record), _edge_card(record), _smoothness_card(record), _overhead_card(record)]
    return Cards([card for card in found if card is not None])


def _loss_card(record: MonitorRecord) -> Card | None:
    told = told_losses(record)
    if not told:
        return None
    tone = "plain" if math.isfinite(told[-1]) else "bad"
    value = _ends(told)[1] if math.isfinite(told[-1]) else str(told[-1])
    detail = f"{format_number(told[0])} at step 0, {format_number(record.steps)} steps"
    return Card("Loss", value, unit="mean of the last steps", detail=detail, tone=tone)


def _edge_card(record: MonitorRecord) -> Card | None:
    edge = at_the_edge(record)
    if edge is None:
        return None
    step, value = edge
    largest = last(record, "edge", "largest_eigenvalue")
    note = "Above 1 the largest mode no longer settles." if value > 1 else "Below 1 every mode settles."
    return Card(
        "Learning rate over its limit",
        value,
        unit=f"η·Λ/2 at step {step:,}, 1 is the edge of stability",
        detail="" if largest is None else f"λ_max {format_number(largest, 4)}",
        note=note,
        tone="caution" if value > 1 else "plain",
    )


def _smoothness_card(record: MonitorRecord) -> Card | None:
    found = last(record, "landscape", "effective_smoothness")
    return (
        None
        if found is None
        else Card("Effective smoothness", found, unit="largest change of gradient by distance")
    )


def _overhead_card(record: MonitorRecord) -> Card | None:
    if math.isnan(record.overhead):
        return None
    limit = (
        "no bound"
        if record.overhead_limit is None
        else f"bound {format_number(100 * record.overhead_limit)} %"
    )
    late = sum(each.late for each in record.instruments)
    return Card(
        "Cost of watching",
        f"{format_number(100 * record.overhead, 2)} %",
        unit=f"of the training time, {limit}",
        detail=f"{format_number(record.monitor_seconds)} s beside {format_number(record.training_seconds)} s",
        note=f"{late} measurements came late to keep within it." if late else "",
    )
