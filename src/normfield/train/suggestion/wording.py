"""A suggestion's sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from normfield.train.suggestion.scaling import exponent, kind_of, shift

if TYPE_CHECKING:
    from normfield.train.suggestion.result import LearningRateSuggestion

_NEAR = 0.3


def scaling_words(found: LearningRateSuggestion) -> str:
    """How the best of the short runs was carried over to the full run."""
    if not found.seen:
        return "no short run to judge from"
    last = found.seen[-1]
    moved, p = shift(found.loss, last.steps, found.full_steps), exponent(found.loss)
    words = (
        f"runs of {last.steps:,} steps are best at log₁₀η {last.log10:+.2f}; for {found.full_steps:,} steps "
    )
    kind = kind_of(found.loss)
    words += f"{moved:+.2f} decades (η ∝ steps^−{p:g}, {kind})" if moved else f"the same ({kind})"
    return f"{words}, lowered to half of the lowest rate that diverged" if found.guarded else words


def verdict(found: LearningRateSuggestion) -> str:
    """Where η* lies to the suggestion and to the boundary."""
    if found.reference is None:
        return f"η* {found.reference_source}"
    if found.decades_from_reference is None:
        return "no rate to compare with η*"
    best = f"the suggestion lies {_apart(found.decades_from_reference)} η*"
    if found.boundary_log10 is None:
        return f"{best}; short runs diverge {found.edge.words}"
    apart = found.boundary_log10 - math.log10(found.reference)
    limit = "is near the limit" if abs(apart) <= _NEAR else "is not the limit"
    return f"{best}; short runs diverge {_apart(apart)} it, so that it {limit} here"


def reference_line(found: LearningRateSuggestion) -> str:
    """η* with its source, or why there is none."""
    if found.reference is None:
        return found.reference_source
    return f"{found.reference:.3g} (log₁₀ {math.log10(found.reference):+.2f}), {found.reference_source}"


def what_was_done(found: LearningRateSuggestion) -> str:
    """Runs, cost and time in a line."""
    full_runs = found.gradient_evaluations / found.full_steps
    cost = f"{found.gradient_evaluations:,} gradients of a batch ({full_runs:.2f} full runs"
    where = (
        f"compared on {found.held_out:,} held-out training samples"
        if found.held_out
        else "compared on training samples"
    )
    how = "one by one" if found.alone else "together"
    compiling = f", {found.compile_seconds:.1f} of them to compile" if found.compile_seconds else ""
    return (
        f"{len(found.runs)} runs, trained {how}, {where}; {cost}, {found.reference_gradients} of them for η*), "
        f"{found.seconds:.1f} s{compiling}"
    )


def _apart(decades: float) -> str:
    return f"{abs(decades):.2g} decades {'above' if decades >= 0 else 'below'}"
