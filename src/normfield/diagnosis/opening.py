"""The top of the report: the question, a card for each answer, and the axis on which they all stand."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.answer import NAMES, Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.headline import first_try
from normfield.diagnosis.subject import Subject
from normfield.diagnosis.trust import HEADINGS, KINDS, Trust, is_bound, trust
from normfield.network import Network
from normfield.report import Card, Cards, Estimate, Figure, Mark, estimates, format_number

_NARROW = 1.005  # high over low of an error bar that cannot be seen
_BOUND_UNITS = {
    "theory": "upper bound only: not the top eigenvalue",
    "kernel": "upper bound only: finite width lowers it",
}
_LOSSES = {"squared": "squared loss", "cross_entropy": "cross-entropy"}


def question(asked: Asked, subject: Subject) -> str:
    """What was asked, in one sentence below the title."""
    loss = _LOSSES.get(asked.loss_name, asked.loss_name)
    article = "a " if isinstance(subject.given, Network) else ""
    return (
        f"Asked for {article}{subject.name}, on {subject.data.name}, trained with {loss}, momentum "
        f"{asked.momentum:g} and batches of {asked.batch_size}."
    )


def cards(answers: Mapping[str, Answer]) -> Cards:
    """One card per answer."""
    return Cards([_card(answers[name]) for name in NAMES])


def _card(answer: Answer) -> Card:
    found = trust(answer)
    heading = HEADINGS[answer.name]
    if found is None:
        reason = answer.reason[:1].upper() + answer.reason[1:]
        return Card(heading, answer.max_learning_rate, unit=answer.status, note=reason, tone="absent")
    bar = _bar_words(found)
    facts = (
        [] if answer.largest_eigenvalue is None else [f"λ_max {format_number(answer.largest_eigenvalue, 4)}"]
    )
    return Card(
        f"{heading}: {found.kind}",
        answer.max_learning_rate,
        unit=_unit(answer),
        detail=", ".join([*facts, f"{format_number(answer.seconds, 2)} s"]),
        note=" ".join(filter(None, [f"{bar}." if bar else "", answer.assumes])),
        tone="caution" if found.kind == "bound" else "plain",
    )


def _bar_words(found: Trust) -> str:
    """The error bar with where it comes from; one too narrow for three digits by its size."""
    if found.low is None or found.high is None:
        return ""
    if found.high / found.low < _NARROW:
        return f"{found.bar[:1].upper()}{found.bar[1:]}, below {100 * (_NARROW - 1):.2g} %"
    return f"{format_number(found.low)} to {format_number(found.high)}: {found.bar}"


def _unit(answer: Answer) -> str:
    """What a card's number is."""
    if answer.name == "trained":
        return "runs diverge above this learning rate"
    if is_bound(answer):
        return _BOUND_UNITS[answer.name]
    return "largest stable learning rate"


def answers_figure(answers: Mapping[str, Answer], asked: Asked) -> Figure | None:
    """Every answer with its error bar on one logarithmic axis; None where there is no number at all."""
    rows = [
        Estimate(
            HEADINGS[name],
            answers[name].max_learning_rate or 0.0,
            *_bar(found),
            found.kind,
            found.kind == "bound",
        )
        for name in NAMES
        if (found := trust(answers[name])) is not None
    ]
    if not rows:
        return None
    kinds = dict.fromkeys(row.note for row in rows)
    return estimates(
        rows,
        f"learning rate, in units of the {_LOSSES.get(asked.loss_name, asked.loss_name)}",
        marks=_marks(answers, asked),
        title="Largest learning rate: every answer on one axis",
        caption=f"Momentum {asked.momentum:g}. "
        + " ".join(f"{kind.capitalize()}: {KINDS[kind]}." for kind in kinds),
    )


def _bar(found: object) -> tuple[float | None, float | None]:
    """The error bar, left out where it is too narrow to be seen."""
    low, high = getattr(found, "low", None), getattr(found, "high", None)
    return (low, high) if low is not None and high is not None and high / low > _NARROW else (None, None)


def _marks(answers: Mapping[str, Answer], asked: Asked) -> list[Mark]:
    detail, start = answers["trained"].detail, first_try(answers, asked)
    marks = [] if start is None else [Mark(start, f"first try, {format_number(start)}")]
    if detail is not None and detail.best_learning_rate is not None:
        marks.append(Mark(detail.best_learning_rate, f"best run, {format_number(detail.best_learning_rate)}"))
    return marks
