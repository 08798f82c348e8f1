"""Whether a claim held: each check with its number and the criterion that was fixed beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["held", "held in part", "did not hold"]
Whose = Literal["paper", "normfield"]


@dataclass(frozen=True)
class Check:
    """One number, and whether it meets a criterion.

    Attributes
    ----------
    sentence
        What was found, in words, numbers included.
    value, unit
        The number that decides, NaN where there is none, and what it is.
    criterion
        What it was compared with, fixed before anything was computed.
    held
        Whether the number meets the criterion.
    whose
        "paper": a part of the paper's claim; "normfield": what we add beside it, outside the verdict on the paper.
    """

    sentence: str
    value: float
    unit: str
    criterion: str
    held: bool
    whose: Whose = "paper"


@dataclass(frozen=True)
class Verdict:
    """What the checks say together; the paper's own decide the outcome.

    Attributes
    ----------
    sentence
        The finding in one sentence, with its numbers.
    checks
        Every check, the paper's first.
    """

    sentence: str
    checks: tuple[Check, ...]

    def of(self, whose: Whose) -> tuple[Check, ...]:
        """The checks on the paper's claim, or those that we add."""
        return tuple(check for check in self.checks if check.whose == whose)

    @property
    def outcome(self) -> Outcome:
        """ "held" if every check of the paper's did, "did not hold" if none did."""
        held = [check.held for check in self.of("paper")]
        if all(held):
            return "held"
        return "held in part" if any(held) else "did not hold"

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain words and numbers."""
        return {
            "outcome": self.outcome,
            "sentence": self.sentence,
            "checks": [dict(vars(check)) for check in self.checks],
        }

    def __str__(self) -> str:
        lines = [f"{self.outcome}: {self.sentence}"]
        lines += [f"  {'✓' if c.held else '✗'} {c.sentence} (criterion: {c.criterion})" for c in self.checks]
        return "\n".join(lines)
