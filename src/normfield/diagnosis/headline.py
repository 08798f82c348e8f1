"""The answer in one sentence, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.trust import Agreement, agreement, has_rate, is_bound
from normfield.diagnosis.usable import MARGIN, Usable, usable_range
from normfield.report import Statement, format_number

#: Runs of fewer steps show a start, not a training.
FEW_STEPS = 50


def statement(answers: Mapping[str, Answer], asked: Asked) -> Statement:
    """The answer in one sentence, and how far to trust it."""
    usable = _usable(answers)
    if asked.is_cross_entropy and usable:
        sentence = _by_runs(usable, max(len(run.losses) for run in answers["trained"].detail.runs))
    else:
        sentence = _by_limit(answers, asked, usable)
    return Statement(sentence, _how_far(answers, asked))


def _usable(answers: Mapping[str, Answer]) -> Usable | None:
    detail = answers["trained"].detail
    return None if detail is None else usable_range(detail.runs, detail.best)


def _by_runs(usable: Usable, steps: int) -> str:
    if usable.open_below and usable.runs == 1:
        return (
            f"Try learning rates from {format_number(usable.low)} down: the slowest of the runs ended best."
        )
    if usable.runs == 1:
        return f"Use a learning rate near {format_number(usable.low)}: the run there ended best."
    more = "; no smaller one was tried" if usable.open_below else ""
    if steps < FEW_STEPS:
        return (
            f"Try learning rates between {format_number(usable.low)} and {format_number(usable.high)}: the "
            f"{usable.runs} runs there ended within {100 * MARGIN:.0f} % of the best {usable.by}, after only {steps} "
            f"steps{more}."
        )
    return (
        f"Use a learning rate between {format_number(usable.low)} and {format_number(usable.high)}: the {usable.runs} "
        f"runs there ended within {100 * MARGIN:.0f} % of the best {usable.by}{more}."
    )


def limit(answers: Mapping[str, Answer], asked: Asked) -> Answer | None:
    """The answer that says how far the first steps are stable as it trains, the nearest to the truth that there is."""
    names = ("measured", "kernel", "theory") if asked.statistics == "batch" else ()
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
        name
        for name in ("theory", "kernel", "measured")
        if has_rate(answers[name]) and not is_bound(answers[name])
    ]
    edge = answers["trained"].max_learning_rate
    words = [f"{format_number(answers[name].max_learning_rate)} ({name})" for name in linear]
    limits = f"The first steps are linearly stable up to {' or '.join(words)}" if words else ""
    seen = f"runs diverge only above {format_number(edge)}" if edge else ""
    found = agreement([answers[name] for name in linear])
    apart = f", which agree within a factor of {format_number(found.factor, 2)}" if found else ""
    both = "; ".join(filter(None, [limits + apart, seen]))
    return (
        f"{both[:1].upper()}{both[1:]}: with cross-entropy neither tells which rate is best." if both else ""
    )


def _agreement_words(found: Agreement) -> str:
    names = [{"measured": "measurement", "trained": "training"}.get(name, name) for name in found.names]
    who = f"{', '.join(names[:-1])} and {names[-1]}".capitalize()
    size = f"a factor of {format_number(found.factor, 2)} ({format_number(found.decades, 2)} decades)"
    if found.decades <= 0.2:
        alone = "" if "trained" in found.names else " for the first steps, which is as far as they go"
        return f"{who} agree within {size}: trust it{alone}."
    if found.decades <= 0.5:
        return f"{who} agree within {size}: trust the order of magnitude; the smallest is the cautious one."
    return f"{who} differ by {size}: see below which to trust."
