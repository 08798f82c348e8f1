"""What the study of first steps asks of its table."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import column, furthest_from_one, number, within_factor
from normfield.studies.first_ten_steps.table import (
    GRADIENT,
    WEIGHT,
    WEIGHT_GRADIENT,
    at,
    decades,
    depths,
    first_step,
    left,
    rates,
    squared_growth,
    steps,
)
from normfield.studies.frame import Rows
from normfield.studies.verdicts import Check, Verdict

#: "Explodes": by such a factor per layer at least.
EXPLODES = 1.2
#: "Gone": gradients span at most such a part of the decades they spanned at the start.
GONE = 0.5
#: "Weights carry the growth": they span such a part of the gradients' decades, and so many decades at the start.
CARRY, EVEN = 0.5, 0.1
#: Near infinite width, and near Pythagoras' theorem.
NEAR, EXACT = 1.1, 1.02


def verdict(rows: Rows) -> Verdict:
    depth, rate = depths(rows)[-1], rates(rows)[-1]
    spans = [decades(at(rows, depth, rate, step), WEIGHT_GRADIENT) for step in (0, 1, steps(rows)[-1])]
    sentence = (
        f"With {depth} layers at the learning rate {rate:g} the weights' gradients span {spans[0]:.1f} decades over "
        f"the layers at the start, {spans[1]:.1f} after one step and {spans[2]:.1f} after {steps(rows)[-1]}."
    )
    checks = (
        _explosion_check(rows),
        *(_gone_check(rows, one) for one in depths(rows)),
        _stays_check(rows),
        _signal_check(rows),
        _weights_check(rows),
        _theory_check(rows),
        _pythagoras_check(rows),
        _rates_check(rows),
    )
    return Verdict(sentence, checks)


def _start_growths(rows: Rows) -> np.ndarray:
    """The squared gradient's growth at the start, by depth."""
    return np.array([squared_growth(at(rows, depth, rates(rows)[-1], 0)) for depth in depths(rows)])


def _explosion_check(rows: Rows) -> Check:
    growths = _start_growths(rows)
    return Check(
        f"At the start squared gradients grow by {growths.min():.2f} to {growths.max():.2f} per layer going backwards, "
        f"in networks of {depths(rows)[0]} to {depths(rows)[-1]} layers.",
        float(growths.min()),
        "per layer, the least",
        f"explode at the start: by {EXPLODES:g} at least at every depth",
        bool(np.all(growths >= EXPLODES)),
    )


def _gone_check(rows: Rows, depth: int) -> Check:
    rate = rates(rows)[-1]
    value = left(rows, depth, rate, 1)
    return Check(
        f"{depth} layers, η = {rate:g}: after one step, which is {first_step(rows, depth, rate):.2g} times as large as "
        f"the weights where it is largest, the weights' gradients span {100 * value:.0f} % of the decades they spanned "
        "before.",
        100 * value,
        "% of the decades at the start",
        f"gone after one step: at most {100 * GONE:g} %",
        value <= GONE,
    )


def _stays_check(rows: Rows) -> Check:
    depth, rate, last = depths(rows)[-1], rates(rows)[-1], steps(rows)[-1]
    most = float(np.max([left(rows, depth, rate, step) for step in steps(rows) if step >= 1]))
    return Check(
        f"In the deepest network they span at most {100 * most:.0f} % of those decades from step 1 to {last}.",
        100 * most,
        "% of the decades at the start, the most",
        f"a stable equilibrium: at most {100 * GONE:g} % at each step",
        most <= GONE,
    )


def _signal_check(rows: Rows) -> Check:
    """Outputs of layers whose weights have grown are larger, and gradients by them smaller."""
    depth, rate = depths(rows)[-1], rates(rows)[-1]
    value, growth = left(rows, depth, rate, 1, GRADIENT), squared_growth(at(rows, depth, rate, 1))
    return Check(
        f"There the signal's gradients, by the outputs of the layers, span {100 * value:.0f} % of the decades they "
        f"spanned; per layer going backwards their square is multiplied by {growth:.2f} after one step.",
        100 * value,
        "% of the decades at the start",
        f"gone after one step: at most {100 * GONE:g} %",
        value <= GONE,
    )


def _weights_check(rows: Rows) -> Check:
    depth, rate = depths(rows)[-1], rates(rows)[-1]
    start = at(rows, depth, rate, 0)
    before, after = decades(start, WEIGHT), decades(at(rows, depth, rate, 1), WEIGHT)
    gradients = decades(start, WEIGHT_GRADIENT)
    return Check(
        f"There the weights' norms span {before:.2g} decades at the start and {after:.2g} after one step, while their "
        f"gradients spanned {gradients:.2g}.",
        after,
        "decades after one step",
        f"the weights carry the growth: at most {EVEN:g} decades at the start, then at least {100 * CARRY:g} % of the "
        "gradients'",
        before <= EVEN and after >= CARRY * gradients,
    )


def _theory_check(rows: Rows) -> Check:
    expected = np.array([number(at(rows, one, rates(rows)[-1], 0)[0], "theory_rate") for one in depths(rows)])
    over = furthest_from_one(_start_growths(rows) / expected)
    return Check(
        f"At the start squared gradients grow per layer by {over:.3f} times theory's λ_G = {expected[0]:.3f} where "
        "they are furthest from it.",
        over,
        "times theory, where furthest",
        f"within a factor {NEAR:g} at every depth",
        within_factor(over, NEAR),
        "normfield",
    )


def _pythagoras_check(rows: Rows) -> Check:
    """Scale-invariant weights stand at right angles to their gradients."""
    over = []
    for depth in depths(rows):
        for rate in rates(rows):
            before, after = at(rows, depth, rate, 0), at(rows, depth, rate, 1)
            expected = np.hypot(column(before, WEIGHT), rate * column(before, WEIGHT_GRADIENT))
            over.append(column(after, WEIGHT) / expected)
    furthest = furthest_from_one(np.concatenate(over))
    return Check(
        f"After one step a layer's weights have {furthest:.4f} times the norm √(‖W‖² + η²‖∇W‖²) where they are "
        "furthest from it: batch norm sets gradients at right angles to weights, so that steps only lengthen them.",
        furthest,
        "times √(‖W‖² + η²‖∇W‖²), where furthest",
        f"within a factor {EXACT:g} in every layer, at every depth and learning rate",
        within_factor(furthest, EXACT),
        "normfield",
    )


def _rates_check(rows: Rows) -> Check:
    """At each depth, what is left from each learning rate to the next."""
    shares = np.array([[left(rows, depth, rate, 1) for rate in rates(rows)] for depth in depths(rows)])
    gone, most = int(np.sum(shares <= GONE)), float(np.max(np.diff(shares, axis=1)))
    return Check(
        f"Over all {shares.size} depths and learning rates, {rates(rows)[0]:g} to {rates(rows)[-1]:g}, at most "
        f"{100 * GONE:g} % of the decades are left after one step in {gone}: it takes a step that is large beside the "
        "weights.",
        100 * most,
        "percentage points more than at the next smaller learning rate, the most",
        "the larger the learning rate, the less is left, at every depth: below 0",
        most < 0,
        "normfield",
    )
