"""One answer to the question how large a learning rate a network takes, with its cost and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from normfield.train.suggestion.from_search import SearchSuggestion

Status = Literal["answered", "not covered", "failed", "cut", "stopped"]

#: The four answers, each dearer and nearer to the truth than the one before.
NAMES = ("theory", "kernel", "measured", "trained")


@dataclass(frozen=True)
class Answer:
    """One of the four answers.

    Attributes
    ----------
    name
        "theory", "kernel", "measured" or "trained".
    status
        "answered", or why there is none: "not covered", "failed", "cut" (time or memory did not suffice), "stopped"
        (Ctrl-C).
    max_learning_rate
        Largest stable η in units of the loss asked for; None where there is no answer.
    interval
        (low, high) of that η where it has one, else None.
    largest_eigenvalue
        λ_max behind it, in units of the loss; None for the trained answer.
    seconds
        What it cost.
    assumes
        What it rests on, in one sentence.
    reason
        Why there is no answer; empty where there is one.
    cut
        How it was shortened to fit the budget or the memory; empty where nothing was. ``assumes`` says it too.
    suggestion
        The rate to take that the trained answer's runs suggest; None elsewhere, and where they enclose no best.
    detail
        The full result: a MeanField, a BatchKernel, a Curvature or a CriticalLearningRate.
    """

    name: str
    status: Status
    max_learning_rate: float | None = None
    interval: tuple[float, float] | None = None
    largest_eigenvalue: float | None = None
    seconds: float = 0.0
    assumes: str = ""
    reason: str = ""
    detail: Any = None
    cut: str = ""
    suggestion: SearchSuggestion | None = None

    @classmethod
    def without(cls, name: str, status: Status, reason: str, seconds: float = 0.0) -> Answer:
        """No answer, and why."""
        return cls(name, status, reason=reason, seconds=seconds)

    def as_dict(self) -> dict[str, Any]:
        """The numbers and words of this answer, for JSON."""
        found = {
            "status": self.status,
            "largest_eigenvalue": self.largest_eigenvalue,
            "max_learning_rate": self.max_learning_rate,
            "seconds": self.seconds,
            "assumes": self.assumes,
        }
        if self.interval is not None:
            found["max_learning_rate_interval"] = list(self.interval)
        if self.cut:
            found["cut"] = self.cut
        if self.suggestion is not None:
            found["suggested_learning_rate"] = self.suggestion.learning_rate
        reason = self.reason or ("training measures no curvature" if self.largest_eigenvalue is None else "")
        return found | ({"reason": reason} if reason else {}) | self._extras()

    def _extras(self) -> dict[str, Any]:
        """What this answer alone has."""
        names = {
            "theory": ("statistics", "parameters", "is_top"),
            "kernel": ("method", "error", "doubts", "samples", "parameters", "spectrum"),
            "measured": ("cluster_mean", "kind", "statistics", "products", "residual", "samples", "batches"),
            "trained": ("worse_value", "best_learning_rate", "spread", "half_width", "limited", "verdict"),
        }
        if self.detail is None:
            return {}
        found = {name: getattr(self.detail, name) for name in names.get(self.name, ())}
        return {name: value for name, value in found.items() if value is not None}


def was_stopped(answers: Mapping[str, Answer]) -> bool:
    """Whether Ctrl-C ended the diagnosis before all was found that the budget held."""
    return any(
        answer.status == "stopped" or getattr(answer.detail, "stopped", None) == "interrupted"
        for answer in answers.values()
    )
