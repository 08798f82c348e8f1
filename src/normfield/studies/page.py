"""The page of a study: what the paper claimed, whether it held, and what was and was not computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from normfield.report import (
    Card,
    Cards,
    Code,
    Facts,
    Figure,
    Finding,
    Findings,
    Fold,
    Page,
    Section,
    Table,
    format_number,
)
from normfield.studies.frame import Study
from normfield.studies.provenance import Provenance
from normfield.studies.verdicts import Check, Outcome, Verdict

_REPEAT = "This computes the page again, and goes on where it was stopped."
_TONES: dict[Outcome, Any] = {"held": "good", "held in part": "caution", "did not hold": "bad"}


def page_of(
    study: Study[Any],
    provenance: Provenance,
    verdict: Verdict,
    figures: Sequence[Figure],
    table: Table,
    data: dict[str, Any],
) -> Page:
    """The whole page."""
    sections = [
        Section("", [Cards([_outcome_card(verdict), _size_card(study, provenance)])]),
        Section("What the paper claims", [study.background], lead=study.claim),
        Section("Did it hold?", [Findings(as_findings(verdict.of("paper")))], lead=verdict.sentence),
        Section("The figures", list(figures)),
        _beside(verdict),
        Section("What was computed, and what was not", _computed(study, provenance)),
        Section("The numbers, and how to repeat them", _repeat(study, provenance, table), lead=_REPEAT),
    ]
    return Page(
        title=study.title,
        subtitle=study.citation,
        sections=[section for section in sections if section is not None],
        data=data,
        footer=f"Normfield {provenance.versions['normfield']}. Source of the claim: {study.link}",
    )


def as_findings(checks: Sequence[Check]) -> list[Finding]:
    """Each check as a sentence with its criterion, and the number behind it."""
    return [
        Finding(
            "good" if check.held else "warning",
            f"{'Held' if check.held else 'Did not hold'}. {check.sentence} Criterion: {check.criterion}.",
            check.value,
            check.unit,
        )
        for check in checks
    ]


def _outcome_card(verdict: Verdict) -> Card:
    held = [check.held for check in verdict.of("paper")]
    return Card(
        "The paper's claim",
        verdict.outcome,
        unit=f"{sum(held)} of {len(held)} parts, each with a criterion fixed beforehand",
        tone=_TONES[verdict.outcome],
    )


def _size_card(study: Study[Any], provenance: Provenance) -> Card:
    return Card(
        "Computed here",
        f"size {provenance.size}",
        unit=study.sizes[provenance.size].words,
        detail=f"{format_number(provenance.seconds, 2)} s, seed {provenance.seed}",
    )


def _beside(verdict: Verdict) -> Section | None:
    ours = verdict.of("normfield")
    lead = "These do not count towards the verdict on the paper."
    return Section("What we find beside it", [Findings(as_findings(ours))], lead=lead) if ours else None


def _computed(study: Study[Any], provenance: Provenance) -> list[Any]:
    rows = [
        (name, size.words, size.cost, "this page" if name == provenance.size else "not run for this page")
        for name, size in study.sizes.items()
    ]
    facts: list[tuple[str, float | str | None]] = [("size", provenance.size), ("seed", provenance.seed)]
    facts += [("seconds", provenance.seconds), *provenance.versions.items()]
    return [
        study.setting,
        Table("Sizes of this study", ["size", "what is computed", "cost", "run"], rows),
        *study.differences,
        Facts(facts),
    ]


def _repeat(study: Study[Any], provenance: Provenance, table: Table) -> list[Any]:
    again = f"normfield study run {study.name} --size {provenance.size} --seed {provenance.seed}"
    return [Code(again), Fold(f"The table, {len(table.rows)} rows", [table])]
