"""The top of the report: the question, the answer in one line, the answers and the axis they all stand on."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.answer import NAMES, Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.subject import Subject
from normfield.diagnosis.trust import HEADINGS, KINDS, Agreement, agreement, has_rate, is_bound, trust
from normfield.diagnosis.usable import MARGIN, Usable, usable_range
from normfield.network import Network
from normfield.report import Card, Cards, Estimate, Figure, Mark, Statement, estimates, format_number

_LOSSES = {"squared": "squared loss", "cross_entropy": "cross-entropy"}


def question(asked: Asked, subject: Subject) -> str:
    """What was asked, in one sentence below the title."""
    loss = _LOSSES.get(asked.loss_name, asked.loss_name)
    article = "a " if isinstance(subject.given, Network) else ""
    return (
        f"Asked for {article}{subject.name}, on {subject.data.name}, trained with {loss}, momentum "
        f"{asked.momentum:g} and batches of {asked.batch_size}."
    )


def statement(answers: Mapping[str, Answer], asked: Asked) -> Statement:
    """The answer in one sentence, and how far to trust it."""
    usable = _usable(answers)
    sentence = _by_runs(usable) if asked.is_cross_entropy and usable else _by_limit(answers, asked, usable)
    return Statement(sentence, _how_far(answers, asked))


def _usable(answers: Mapping[str, Answer]) -> Usable | None:
    detail = answers["trained"].detail
    return None if detail is None else usable_range(detail.runs, detail.best)


def _by_runs(usable: Usable) -> str:
    if usable.open_below and usable.runs == 1:
        return (
            f"Try learning rates from {format_number(usable.low)} down: the slowest of the runs ended best."
        )
    if usable.runs == 1:
        return f"Use a learning rate near {format_number(usable.low)}: the run there ended best."
    more = ", and none was slower" if usable.open_below else ""
    return (
        f"Use a learning rate between {format_number(usable.low)} and {format_number(usable.high)}: the {usable.runs} "
        f"runs there ended within {100 * MARGIN:.0f} % of the best {usable.by}{more}."
    )


def limit(answers: Mapping[str, Answer], asked: Asked) -> Answer | None:
    """The answer that says how far the first steps are stable as it trains, the nearest to the truth that there is."""
    names = ("measured", "theory") if asked.statistics == "batch" else ()
    return next(
        (answers[name] for name in names if has_rate(answers[name]) and not is_bound(answers[name])), None
    )


def first_try(answers: Mapping[str, Answer], asked: Asked) -> float | None:
    """Half the limit, the best rate of the quadratic picture; None for cross-entropy and where the runs disagree."""
    found = limit(answers, asked)
    if found is None or found.max_learning_rate is None or asked.is_cross_entropy:
        return None
    detail, half = answers["trained"].detail, found.max_learning_rate / 2
    best = None if detail is None else detail.best_learning_rate
    return half if best is None or 10**-0.5 <= best / half <= 10**0.5 else None


def _by_limit(answers: Mapping[str, Answer], asked: Asked, usable: Usable | None) -> str:
    found, start = limit(answers, asked), first_try(answers, asked)
    found = found or (answers["trained"] if has_rate(answers["trained"]) else None)
    if found is None:
        return "No answer: see below why."
    words = f"Up to about {format_number(found.max_learning_rate)}"
    if start is not None:
        return f"{words}; start with {format_number(start)}."
    if usable is not None and not asked.is_cross_entropy:
        return f"{words}; the best of the runs had {format_number((usable.low * usable.high) ** 0.5, 2)}."
    return f"{words}."


def _how_far(answers: Mapping[str, Answer], asked: Asked) -> str:
    """How far the answers lie apart, in words, as a factor and in decades; and what the runs say beside it."""
    if asked.is_cross_entropy:
        return _beside_cross_entropy(answers)
    found = agreement(answers.values())
    words = _agreement_words(found) if found else "There is one answer only, and nothing to check it against."
    detail, start = answers["trained"].detail, first_try(answers, asked)
    best = None if detail is None else detail.best_learning_rate
    if best is None or start is None or 0.5 <= best / start <= 2:
        return words
    return f"{words} The best of the runs had {format_number(best)}."


def _beside_cross_entropy(answers: Mapping[str, Answer]) -> str:
    """The limit of linear stability, which is none of training there, and the edge."""
    linear = [
        name for name in ("theory", "measured") if has_rate(answers[name]) and not is_bound(answers[name])
    ]
    edge = answers["trained"].max_learning_rate
    words = [f"{format_number(answers[name].max_learning_rate)} ({name})" for name in linear]
    limits = f"The first steps are linearly stable up to {' or '.join(words)}" if words else ""
    seen = f"runs diverge only above {format_number(edge)}" if edge else ""
    found = agreement([answers[name] for name in linear])
    apart = (
        f", which agree within a factor of {found.factor:.2g} ({found.decades:.2g} decades)" if found else ""
    )
    both = "; ".join(filter(None, [limits + apart, seen]))
    return (
        f"{both[:1].upper()}{both[1:]}: with cross-entropy neither tells which rate is best." if both else ""
    )


def _agreement_words(found: Agreement) -> str:
    names = [{"measured": "measurement", "trained": "training"}.get(name, name) for name in found.names]
    who = f"{', '.join(names[:-1])} and {names[-1]}".capitalize()
    apart = f"within a factor of {found.factor:.2g} ({found.decades:.2g} decades)"
    if found.decades <= 0.2:
        alone = "" if "trained" in found.names else " for the first steps, which is as far as they go"
        return f"{who} agree {apart}: trust it{alone}."
    if found.decades <= 0.5:
        return f"{who} agree {apart}: trust the order of magnitude; the smallest is the cautious one."
    return f"{who} differ by a factor of {found.factor:.2g} ({found.decades:.2g} decades): see below which to trust."


def cards(answers: Mapping[str, Answer]) -> Cards:
    """One card per answer; an answer that this version does not offer has none."""
    return Cards([_card(answers[name]) for name in NAMES if answers[name].status != "not yet"])


def not_offered(answers: Mapping[str, Answer]) -> str:
    """One line for the answers that this version does not offer; empty where there are none."""
    names = [name for name in NAMES if answers[name].status == "not yet"]
    return "".join(f"{HEADINGS[name]}: {answers[name].reason}." for name in names)


def _card(answer: Answer) -> Card:
    found = trust(answer)
    heading = HEADINGS[answer.name]
    if found is None:
        reason = answer.reason[:1].upper() + answer.reason[1:]
        return Card(heading, answer.max_learning_rate, unit=answer.status, note=reason, tone="absent")
    bar = (
        "" if found.low is None else f"{format_number(found.low)} to {format_number(found.high)}: {found.bar}"
    )
    facts = (
        [] if answer.largest_eigenvalue is None else [f"λ_max {format_number(answer.largest_eigenvalue, 4)}"]
    )
    return Card(
        f"{heading}: {found.kind}",
        answer.max_learning_rate,
        unit=_unit(answer),
        detail=", ".join([*facts, f"{answer.seconds:.2g} s"]),
        note=" ".join(filter(None, [f"{bar}." if bar else "", answer.assumes])),
        tone="caution" if found.kind == "bound" else "plain",
    )


def _unit(answer: Answer) -> str:
    """What a card's number is."""
    if answer.name == "trained":
        return "runs diverge above this learning rate"
    if is_bound(answer):
        return "upper bound only: not the top eigenvalue"
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
    return (low, high) if low is not None and high is not None and high / low > 1.005 else (None, None)


def _marks(answers: Mapping[str, Answer], asked: Asked) -> list[Mark]:
    detail, start = answers["trained"].detail, first_try(answers, asked)
    marks = [] if start is None else [Mark(start, f"first try, {format_number(start)}")]
    if detail is not None and detail.best_learning_rate is not None:
        marks.append(Mark(detail.best_learning_rate, f"best run, {format_number(detail.best_learning_rate)}"))
    return marks
