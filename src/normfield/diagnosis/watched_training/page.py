"""The page of a watched training run."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from normfield.diagnosis.repeating import versions
from normfield.diagnosis.watched_training.findings import find
from normfield.diagnosis.watched_training.layer_sections import (
    lengths_section,
    shift_section,
    signals_section,
    statistics_section,
)
from normfield.diagnosis.watched_training.opening import cards, statement
from normfield.diagnosis.watched_training.other_sections import (
    findings_section,
    own_section,
    watching_section,
)
from normfield.diagnosis.watched_training.whole_model import (
    edge_section,
    landscape_section,
    loss_section,
    noise_section,
)
from normfield.errors import InvalidInput
from normfield.report import Page, Section, checked_target, format_number, write
from normfield.train.monitoring import MonitorRecord


def training_page(record: MonitorRecord, path: str | os.PathLike[str]) -> Path:
    """Write what a monitor found as a page: one HTML file that needs no network.

    Loss, edge of stability, landscape, layers by step, findings in plain sentences, and what watching cost; sections
    of instruments that did not run are left out.

    Parameters
    ----------
    record : MonitorRecord
        Of ``monitor.record``, also of a run that goes on or was stopped.
    path
        The file; its folder must exist.

    Returns
    -------
    Path
        The absolute path of the file.

    Raises
    ------
    InvalidInput
        No record, or a folder that is missing or cannot be written.
    """
    if not isinstance(record, MonitorRecord):
        raise InvalidInput(
            expected="a MonitorRecord", got=f"a {type(record).__name__}", instead="give monitor.record"
        )
    checked_target(path)
    return write(page_of(record), path)


def page_of(record: MonitorRecord) -> Page:
    """The whole page."""
    sections = [
        Section("", [statement(record), cards(record)]),
        findings_section(find(record)),
        loss_section(record),
        edge_section(record),
        landscape_section(record),
        noise_section(record),
        signals_section(record),
        shift_section(record),
        lengths_section(record),
        statistics_section(record),
        own_section(record),
        watching_section(record),
    ]
    count = format_number(record.steps)
    return Page(
        title="A training run, watched",
        subtitle=f"{record.model}, {record.loss} loss, {record.optimizer or 'no optimizer'}, {count} steps.",
        sections=[section for section in sections if section is not None],
        data=_data(record),
        footer=f"{versions()}, seed {record.seed}",
    )


def _data(record: MonitorRecord) -> dict[str, Any]:
    """The record, its readings as steps and values by instrument, quantity and layer ("" for the whole model)."""
    kept: dict[str, Any] = {}
    for reading in record.readings:
        quantities = kept.setdefault(reading.instrument, {}).setdefault(reading.quantity, {})
        curve = quantities.setdefault(reading.layer or "", {"steps": [], "values": []})
        curve["steps"].append(reading.step)
        curve["values"].append(reading.value)
    return {**json.loads(replace(record, readings=()).to_json()), "readings": kept}
