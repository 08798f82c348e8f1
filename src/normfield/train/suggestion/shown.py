"""How a suggestion is drawn: the loss of short runs against their learning rate, one set of points for each length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normfield.report import Band, Figure, Mark, Series, format_number, lines
from normfield.train.descent import DIVERGED
from normfield.train.run import Run
from normfield.train.trials import score

if TYPE_CHECKING:
    from normfield.train.suggestion.result import LearningRateSuggestion


def suggestion_figure(found: LearningRateSuggestion) -> Figure | None:
    """Loss after short runs against η, with the suggestion, the boundary and η* marked; None where no run finished."""
    finished = [run for run in found.runs if run.final_loss is not None and score(run) > 0]
    if not finished:
        return None
    lengths = sorted({len(run.losses) for run in finished})
    series = [
        _points(f"after {n:,} steps", [run for run in finished if len(run.losses) == n]) for n in lengths
    ]
    diverged = [run for run in found.runs if run.status == DIVERGED]
    if diverged:
        top = 3 * max(score(run) for run in finished)
        series.append(_points("diverged, no loss", diverged, top))
    sample = "held-out samples" if found.held_out else "training samples"
    return lines(
        series,
        "learning rate η",
        f"loss on {sample}",
        log_x=True,
        log_y=True,
        marks=_marks(found),
        bands=[] if found.interval is None else [Band(*found.interval)],
        title="Short runs, and the learning rate that they suggest",
        caption=f"One point per run. Shaded: the suggestion for {found.full_steps:,} steps with its standard error.",
    )


def _points(name: str, runs: Sequence[Run], height: float | None = None) -> Series:
    own = sorted(runs, key=lambda run: run.learning_rate)
    hover = [f"seed {run.seed}, {run.status}" for run in own]
    losses = [score(run) if height is None else height for run in own]
    return Series(name, [run.learning_rate for run in own], losses, style="markers", hover=hover)


def _marks(found: LearningRateSuggestion) -> list[Mark]:
    named = (
        ("suggested", found.learning_rate),
        ("diverge from", found.boundary),
        ("η* =", found.reference),
    )
    return [
        Mark(x, f"{words} {format_number(x)}") for words, x in named if x is not None and math.isfinite(x)
    ]
