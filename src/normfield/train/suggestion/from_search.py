"""The rate that the runs of a search for the edge suggest: the same rule, on runs that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normfield.train.run import Run
from normfield.train.suggestion.looking import safe_limit
from normfield.train.suggestion.scaling import exponent
from normfield.train.suggestion.vertex import is_at_end, vertex
from normfield.train.trials import score


@dataclass(frozen=True)
class SearchSuggestion:
    """η for runs of ``steps`` steps, and the p by which it falls, η ∝ steps⁻ᵖ, for longer ones."""

    learning_rate: float
    steps: int
    exponent: float


def suggested_by(runs: Sequence[Run], best: Run | None, loss: str) -> SearchSuggestion | None:
    """The vertex of the losses of the best run's restart, at most half of the lowest rate that diverged in any.

    None without a best run, or where it was the slowest tried: then a slower one may be better.
    """
    if best is None:
        return None
    losses = {run.log10: score(run) for run in runs if run.seed == best.seed and run.ended_worse is not None}
    x = vertex(losses)
    if x is None or is_at_end(losses, -1):
        return None
    return SearchSuggestion(10.0 ** min(x, safe_limit(runs, x)), len(best.losses), exponent(loss))
