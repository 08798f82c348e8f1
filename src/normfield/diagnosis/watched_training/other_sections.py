"""Sections of the caller's own instruments, of what was found, and of how the run was watched."""

from __future__ import annotations

from collections.abc import Sequence

from normfield.diagnosis.repeating import versions
from normfield.diagnosis.watched_training.drawing import by_layer, curves
from normfield.report import Facts, Figure, Finding, Findings, Section
from normfield.train.monitoring import MonitorRecord


def own_section(record: MonitorRecord) -> Section | None:
    """Everything that the caller's own instruments returned, each quantity by itself."""
    figures = [
        figure
        for each in record.instruments
        if each.own
        for quantity in record.quantities(each.name)
        for figure in _both(record, each.name, quantity)
    ]
    return Section("Your own instruments", figures) if figures else None


def _both(record: MonitorRecord, instrument: str, quantity: str) -> list[Figure]:
    """Of the whole model and by layer; a quantity may be either or both."""
    title = instrument if instrument == quantity else f"{instrument}: {quantity}"
    whole = curves(record, instrument, {quantity: quantity}, quantity, log=False, title=title)
    layers = by_layer(record, instrument, quantity, quantity, log=False, title=f"{title}, by layer")
    return [figure for figure in (whole, layers) if figure is not None]


def findings_section(findings: Sequence[Finding]) -> Section | None:
    """What was found, in sentences; None where there is nothing to say."""
    return Section("What was found", [Findings(findings)]) if findings else None


def watching_section(record: MonitorRecord) -> Section:
    """Instruments, what they cost, and the settings."""
    facts: list[tuple[str, float | str | None]] = [
        ("model", record.model),
        ("optimizer", record.optimizer),
        ("loss", record.loss),
        ("statistics of batch norms", record.statistics),
        ("steps", record.steps),
        ("seed", record.seed),
        ("versions", versions()),
    ]
    lead = "What is measured is left as it was: the run ends in the same weights, to the bit, as without a monitor."
    return Section("How it was watched", [record.table(), *record.notes, Facts(facts)], lead=lead)
