"""How far to trust each answer: what kind of number it is, its error bar, and where the bar comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from normfield.diagnosis.answer import Answer
from normfield.theory.kernels import BatchKernel

HEADINGS = {"theory": "Theory", "kernel": "Kernel", "measured": "Measured", "trained": "Training"}

#: What the three kinds of number are.
KINDS = {
    "bound": "the true value lies below it",
    "estimate": "of linear stability, so of the first steps",
    "observed": "seen in runs from start to end",
}
#: Second eigenvalue of a kernel over its first from which the first alone is not the measured one.
CROWDED = 0.8
_BOUNDS = {
    "theory": "no error bar: another direction is steeper",
    "kernel": "no error bar: other directions are nearly as steep",
}


@dataclass(frozen=True)
class Trust:
    """What an answer's number is worth.

    Attributes
    ----------
    kind
        "bound", "estimate" or "observed".
    low, high
        The ends of its error bar; None where it has none of its own.
    bar
        Where the error bar comes from, or why there is none.
    """

    kind: str
    low: float | None
    high: float | None
    bar: str

    @property
    def decades(self) -> float | None:
        """Half the error bar, in decades."""
        if self.low is None or self.high is None:
            return None
        return math.log10(self.high / self.low) / 2


def has_rate(answer: Answer) -> bool:
    """Whether an answer has a number that an axis can show."""
    rate = answer.max_learning_rate
    return rate is not None and 0 < rate < math.inf


def is_bound(answer: Answer) -> bool:
    """Whether an answer's number is only an upper bound."""
    if answer.name == "kernel":
        return answer.detail is not None and runner_up(answer.detail) > CROWDED
    return not bool(getattr(answer.detail, "is_top", True))


def runner_up(kernel: BatchKernel) -> float:
    """The second eigenvalue over the first.

    Where they are near, a finite width mixes the C copies of each, and the largest come out above the kernel's: the
    mean of the top 10 at depth 10 on 64 digits (0.97) is 5.4, 2.3 and 1.6 times it at widths 100, 400 and 1000; at
    depth 4 on 32 digits (0.74) 1.06 times at width 300.
    """
    if kernel.samples < 2:
        return 0.0
    first, second = kernel.top(2)
    return float(second / first)


def trust(answer: Answer) -> Trust | None:
    """How far to trust one answer; None where it has no number."""
    rate = answer.max_learning_rate
    if rate is None or not has_rate(answer):
        return None
    low, high = answer.interval or (None, None)
    if answer.name == "trained":
        return Trust("observed", low, high, _trained_bar(answer))
    if is_bound(answer):
        return Trust("bound", None, None, _BOUNDS.get(answer.name, ""))
    if low is not None:
        return Trust("estimate", low, high, "spread over networks")
    error = getattr(answer.detail, "error", None)
    if answer.name == "measured" and error is not None and 0 <= error < 1:
        return Trust("estimate", rate / (1 + error), rate / (1 - error), "numerical error alone")
    return Trust("estimate", None, None, _no_bar(answer))


def _no_bar(answer: Answer) -> str:
    if getattr(answer.detail, "doubts", ()):
        return "no error bar: how it is computed is doubtful for this batch"
    return "no error bar of its own: exact at infinite width"


def _trained_bar(answer: Answer) -> str:
    spread = getattr(answer.detail, "spread", None)
    return "spread over restarts and width of the brackets" if spread is not None else "width of the bracket"


@dataclass(frozen=True)
class Agreement:
    """How far several answers lie apart: largest over smallest."""

    names: tuple[str, ...]
    factor: float

    @property
    def decades(self) -> float:
        """log₁₀ of the factor."""
        return math.log10(self.factor)


def agreement(answers: Iterable[Answer]) -> Agreement | None:
    """How far the answers that are no mere bounds lie apart; None where fewer than two are left."""
    found = {
        answer.name: answer.max_learning_rate or 0.0
        for answer in answers
        if has_rate(answer) and not is_bound(answer)
    }
    if len(found) < 2:
        return None
    return Agreement(tuple(found), max(found.values()) / min(found.values()))
