"""The report of a diagnosis: the question, the answers, the figures behind them, what to change, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.caveats import caveats_section
from normfield.diagnosis.gammas import gamma_section
from normfield.diagnosis.headline import statement
from normfield.diagnosis.layers import shares_section, signals_section
from normfield.diagnosis.opening import answers_figure, cards, question
from normfield.diagnosis.repeating import repeat_section, versions
from normfield.diagnosis.subject import Subject
from normfield.diagnosis.training_runs import runs_section
from normfield.measure.signals import LayerSignals
from normfield.report import Finding, Findings, Page, Section, Table
from normfield.theory.kernels import DepthProfile


def page_of(
    answers: Mapping[str, Answer],
    findings: tuple[Finding, ...],
    asked: Asked,
    subject: Subject,
    data: dict[str, Any],
    table: Table,
    signals: LayerSignals | None = None,
    command: str = "",
    profile: DepthProfile | None = None,
) -> Page:
    """The whole report; sections whose answer is missing are left out."""
    sections = [
        _answer_section(answers, asked),
        Section("The answers side by side", [table]),
        shares_section(answers, subject),
        gamma_section(answers, asked, subject),
        signals_section(answers, asked, signals, profile),
        runs_section(answers, asked),
        Section("What was found, and what to change", [Findings(findings)]),
        caveats_section(answers, asked),
        repeat_section(asked, subject, float(data["seconds"]), command),
    ]
    return Page(
        title="How large a learning rate can this network take?",
        subtitle=question(asked, subject),
        sections=[section for section in sections if section is not None],
        data=data,
        footer=f"{versions()}, seed {asked.seed}",
    )


def _answer_section(answers: Mapping[str, Answer], asked: Asked) -> Section:
    figure = answers_figure(answers, asked)
    blocks = [statement(answers, asked), cards(answers), figure]
    return Section("The answer", [block for block in blocks if block is not None])
