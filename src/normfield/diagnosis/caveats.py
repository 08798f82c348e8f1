"""What the report does not say: answers that were cut or are missing, and what the others leave out."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.answer import NAMES, Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.trust import HEADINGS, has_rate
from normfield.report import Finding, Findings, Section


def caveats_section(answers: Mapping[str, Answer], asked: Asked) -> Section:
    """Always there: no answer is without its limits."""
    missing = [_missing(answers[name]) for name in NAMES if not has_rate(answers[name])]
    cut = [_cut(answers[name]) for name in NAMES if has_rate(answers[name])]
    batch = getattr(asked, "batch_note", "")
    smaller = Finding("warning", f"{batch[:1].upper()}{batch[1:]}.") if batch else None
    found = [
        finding for finding in (smaller, *missing, *cut, *_always(answers, asked)) if finding is not None
    ]
    return Section("What this does not say", [Findings(found)])


def _missing(answer: Answer) -> Finding:
    severity = "note" if answer.status == "not covered" else "warning"
    return Finding(severity, f"{HEADINGS[answer.name]}, {answer.status}: {answer.reason}.".replace("..", "."))


def _cut(answer: Answer) -> Finding | None:
    """How an answer was shortened, in its own words or in those of the search."""
    words = getattr(answer, "cut", "") or getattr(answer.detail, "cut", None)
    return Finding("warning", f"{HEADINGS[answer.name]} was cut short: {words}.") if words else None


def _always(answers: Mapping[str, Answer], asked: Asked) -> list[Finding | None]:
    theory, kernel, measured, trained = (has_rate(answers[name]) for name in NAMES)
    detail = answers["trained"].detail
    steps = max((len(run.losses) for run in detail.runs), default=0) if detail is not None else 0
    return [
        Finding("note", "Theory speaks of random weights, infinite width and independent inputs.")
        if theory
        else None,
        Finding(
            "note",
            "The kernel speaks of random weights and infinite width, on one batch: narrow networks depart from it, the "
            "more the deeper they are.",
        )
        if kernel
        else None,
        Finding(
            "note",
            "The measured limit is that of the first steps: curvature changes while a network trains, and often "
            "settles where the learning rate in use is just stable.",
        )
        if measured
        else None,
        Finding(
            "note",
            f"The runs took at most {steps} steps at one fixed learning rate: longer training may find a lower edge, a "
            "warm-up a higher one, and the best rate for a whole training may be another.",
        )
        if trained
        else None,
    ]
