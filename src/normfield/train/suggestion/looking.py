"""Where the best rate of short runs lies: a survey, a closer look around its best, then the boundary."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from normfield.sweep import Bracket
from normfield.train.descent import DIVERGED
from normfield.train.run import Run
from normfield.train.suggestion.plan import (
    LOOK_RATES,
    LOOK_SPACING,
    SURVEY_ABOVE,
    SURVEY_RATES,
    SURVEY_SPACING,
    Plan,
)
from normfield.train.suggestion.scaling import shift
from normfield.train.suggestion.trying import Tries, loss_of
from normfield.train.suggestion.vertex import is_at_end, lowest, vertex

SAFE = 0.3  # decades: at most half of the lowest rate that diverged
_FINEST = 0.13  # decades: a bracket of the boundary this narrow is not halved again
_LIMITS = (-12.0, 6.0)
_SIDES = (1, -1)


@dataclass(frozen=True)
class Seen:
    """The best log₁₀η of one kind of short runs.

    Attributes
    ----------
    log10 : float
        At the vertex of the losses.
    spread : float or None
        Standard deviation over seeds in decades; None with one seed.
    steps : int
        Of each run.
    spacing : float
        Decades between rates.
    enclosed : bool
        Whether a higher and a lower rate were worse.
    """

    log10: float
    spread: float | None
    steps: int
    spacing: float
    enclosed: bool


def survey(tries: Tries, plan: Plan, start: float, seed: int) -> Seen | None:
    """Rates half a decade apart around the start, and further on at an end that is the best."""
    top = start + SURVEY_ABOVE
    rates = [top - SURVEY_SPACING * i for i in range(SURVEY_RATES)]
    runs = tries.run(_within(rates), [seed], plan.survey_steps)
    while runs and (x := _beyond(_losses(runs), SURVEY_SPACING)) is not None:
        if not tries.affords(plan.survey_steps + plan.look):
            break
        more = tries.run([x], [seed], plan.survey_steps)
        if not more:
            break
        runs += more
    return _seen(runs, [seed], plan.survey_steps, SURVEY_SPACING)


def closer_look(tries: Tries, plan: Plan, first: Seen, loss: str, seeds: Sequence[int]) -> Seen | None:
    """Rates a quarter decade apart where longer runs should be best, with every seed, until they enclose the best."""
    centre = first.log10 + shift(loss, first.steps, plan.look_steps)
    centre = min(centre, safe_limit(tries.runs, centre))
    rates = [centre + LOOK_SPACING * (i - LOOK_RATES // 2) for i in range(LOOK_RATES)]
    if not tries.affords(plan.look):
        return None
    runs = tries.run(_within(rates), seeds, plan.look_steps)
    while runs and tries.affords(plan.wave) and (x := _beyond(_losses(runs), LOOK_SPACING)) is not None:
        more = tries.run([x], seeds, plan.look_steps)
        if not more:
            break
        runs += more
    return _seen(runs, seeds, plan.look_steps, LOOK_SPACING)


def look_for_boundary(tries: Tries, plan: Plan, seed: int) -> None:
    """Halve the bracket of the boundary, or look for it higher up, while there are gradients left for a run."""
    if not tries.runs:
        return
    highest = max(run.log10 for run in tries.runs)
    bracket = Bracket(highest, resolution=_FINEST, limits=_LIMITS)
    for run in tries.runs:
        bracket.tell(run.log10, run.status == DIVERGED)
    while tries.affords(plan.look_steps) and (x := bracket.ask()) is not None:
        made = tries.run([x], [seed], plan.look_steps)
        if not made:
            return
        bracket.tell(x, made[0].status == DIVERGED)


def safe_limit(runs: Sequence[Run], otherwise: float) -> float:
    """Half of the lowest rate that diverged, in log₁₀η."""
    return min((run.log10 - SAFE for run in runs if run.status == DIVERGED), default=otherwise)


def _within(rates: Sequence[float]) -> list[float]:
    return [x for x in rates if _LIMITS[0] <= x <= _LIMITS[1]]


def _losses(runs: Sequence[Run]) -> dict[float, float]:
    """Mean loss by log₁₀η."""
    by_rate: dict[float, list[Run]] = {}
    for run in runs:
        by_rate.setdefault(run.log10, []).append(run)
    return {x: loss_of(own) for x, own in by_rate.items()}


def _beyond(losses: dict[float, float], spacing: float) -> float | None:
    """A rate beyond the end at which the loss was lowest; None where it was lowest between, or all diverged."""
    if lowest(losses) is None:
        return _further(min(losses) - spacing)
    for side in _SIDES:
        if is_at_end(losses, side):
            return _further((max if side > 0 else min)(losses) + side * spacing)
    return None


def _further(x: float) -> float | None:
    return x if _LIMITS[0] <= x <= _LIMITS[1] else None


def _seen(runs: Sequence[Run], seeds: Sequence[int], steps: int, spacing: float) -> Seen | None:
    """What runs of one length say; None where there is none that finished."""
    losses = _losses(runs)
    best = vertex(losses) if losses else None
    if best is None:
        return None
    own = [vertex(_losses([run for run in runs if run.seed == seed])) for seed in seeds]
    found = [x for x in own if x is not None]
    return Seen(
        log10=best,
        spread=statistics.stdev(found) if len(found) > 1 else None,
        steps=steps,
        spacing=spacing,
        enclosed=not any(is_at_end(losses, side) for side in _SIDES),
    )
