"""The finding on which rate to take: for runs as short as the diagnosis made, and what longer ones change."""

from __future__ import annotations

from collections.abc import Mapping

from normfield.diagnosis.answer import Answer
from normfield.report import Finding, format_number


def rate_to_take(answers: Mapping[str, Answer]) -> Finding | None:
    """The rate that the runs suggest; None where they do not enclose a best."""
    found = answers["trained"].suggestion
    if found is None:
        return None
    words = (
        f"For runs of {found.steps} steps these runs suggest a learning rate of {format_number(found.learning_rate)}: "
        "the lowest point of their losses, at most half of the lowest rate that diverged."
    )
    if found.exponent > 0:
        words += f" Longer training takes less, about steps^−{found.exponent:g} with this loss."
    words += " For a training of known length, nf.suggest_learning_rate gives it with an error bar."
    return Finding("note", words, found.learning_rate, "learning rate suggested by the runs")
