"""What stands on a page beside tables and figures: cards, findings, facts, paragraphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from normfield.errors import InvalidInput
from normfield.report.formatting import plain_number

Tone = Literal["plain", "good", "caution", "bad", "absent"]
Severity = Literal["problem", "warning", "note", "good"]

_TONES = ("plain", "good", "caution", "bad", "absent")
_SEVERITIES = ("problem", "warning", "note", "good")


@dataclass(frozen=True)
class Statement:
    """The one sentence that a reader should take away, and smaller ones below it."""

    sentence: str
    note: str = ""


@dataclass(frozen=True)
class Card:
    """One answer: a large value, what it is, a smaller fact, and how far to trust it.

    Parameters
    ----------
    heading : str
        Whose answer this is.
    value : float, str or None
        The value shown large; None where there is no answer.
    unit : str
        The small line below: what the value is, and in which unit.
    detail : str
        A second fact, such as the eigenvalue behind the value.
    note : str
        One line on how far to trust it, or why there is none.
    tone : "plain", "good", "caution", "bad" or "absent"
        Colour of its upper edge; the words must say the same.

    Raises
    ------
    InvalidInput
        If the tone is none of these or the value is neither a number, a string nor None.
    """

    heading: str
    value: float | str | None
    unit: str = ""
    detail: str = ""
    note: str = ""
    tone: Tone = "plain"

    def __post_init__(self) -> None:
        _check_choice("a card's tone", self.tone, _TONES)
        _check_value("a card's value", self.value)


@dataclass(frozen=True)
class Cards:
    """Answers side by side."""

    cards: Sequence[Card]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cards", tuple(self.cards))


@dataclass(frozen=True)
class Finding:
    """One sentence of what was found, how grave it is, and the number behind it.

    Parameters
    ----------
    severity : "problem", "warning", "note" or "good"
    sentence : str
        What was found, and what to change.
    value : float, str or None
        The number behind the sentence.
    unit : str
        What that number is.

    Raises
    ------
    InvalidInput
        If the severity is none of these or the value is neither a number, a string nor None.
    """

    severity: Severity
    sentence: str
    value: float | str | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        _check_choice("a finding's severity", self.severity, _SEVERITIES)
        _check_value("a finding's value", self.value)


@dataclass(frozen=True)
class Findings:
    """Findings in the order given."""

    findings: Sequence[Finding]

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", tuple(self.findings))


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and what it is, such as the settings of a run."""

    facts: Sequence[tuple[str, float | str | None]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "facts", tuple((name, value) for name, value in self.facts))


@dataclass(frozen=True)
class Fold:
    """What most readers skip, behind a line that opens it.

    Parameters
    ----------
    summary : str
        The line, which says what is behind it.
    blocks : sequence of Table, Findings, Facts or str
        No figures, which cannot be drawn where nothing is shown.
    """

    summary: str
    blocks: Sequence[object]

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))


@dataclass(frozen=True)
class Code:
    """Lines to copy, such as the call that repeats a page."""

    text: str


@dataclass(frozen=True)
class Html:
    """Markup that the page takes as it stands; every other text is escaped."""

    markup: str


def _check_choice(what: str, given: object, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise InvalidInput(
            expected=f"{what} of {', '.join(allowed)}", got=repr(given), instead="choose one of them"
        )


def _check_value(what: str, value: object) -> None:
    if not (value is None or isinstance(value, str) or plain_number(value) is not None):
        raise InvalidInput(
            expected=f"{what} as a number, a string or None",
            got=type(value).__name__,
            instead="convert it first",
        )
