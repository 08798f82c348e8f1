"""What the study of orthogonality asks of its table."""

from __future__ import annotations

import numpy as np

from normfield.growth import growth_through
from normfield.studies.curves import furthest_from_one, number, within_factor
from normfield.studies.frame import Rows
from normfield.studies.orthogonality.table import (
    NORMED,
    PLAIN,
    SCALED,
    at_infinite_width,
    centred_floor,
    floors,
    gaps,
    settled,
    widths,
)
from normfield.studies.power_laws import power_law
from normfield.studies.verdicts import Check, Verdict

#: "Decays": what is left of the first layer's gap in the last layers, at the largest width.
LEFT = 0.25
#: "Exponentially": the fitted factor per layer, while the gap is above so many times where it settles.
FACTOR, ABOVE = 0.9, 2.0
#: "At least like one over the root of the width", to what four widths and few networks can tell.
POWER = -0.4
#: "Stay as alike": to such a factor of the first layer's gap.
STAYS = 1.15
#: Near infinite width: to such a factor.
NEAR = 1.1


def verdict(rows: Rows) -> Verdict:
    wide = widths(rows)[-1]
    own = gaps(rows, SCALED, wide)
    sentence = (
        f"At width {wide} the gap falls from {own[0]:.2f} to {settled(rows, SCALED, wide):.3f} over {len(own)} layers "
        f"with the paper's normaliser and to {settled(rows, NORMED, wide):.3f} with PyTorch's batch norm; without it "
        f"is {settled(rows, PLAIN, wide):.2f} at the end."
    )
    checks = (
        _decay_check(rows),
        _exponential_check(rows),
        _power_check(rows),
        _stays_check(rows),
        _floor_check(rows),
    )
    return Verdict(sentence, checks)


def _decay_check(rows: Rows) -> Check:
    wide = widths(rows)[-1]
    left = settled(rows, SCALED, wide) / gaps(rows, SCALED, wide)[0]
    return Check(
        f"With the paper's normaliser, {100 * left:.0f} % of the first layer's gap are left in the last layers at "
        f"width {wide}.",
        100 * float(left),
        "% of the first layer's gap",
        f"decays with depth: at most {100 * LEFT:g} %",
        bool(left <= LEFT),
    )


def _exponential_check(rows: Rows) -> Check:
    wide = widths(rows)[-1]
    factor, layers = _decay(gaps(rows, SCALED, wide), settled(rows, SCALED, wide))
    return Check(
        f"It falls by a factor {factor:.2f} per layer over the first {layers} layers, until it comes to {ABOVE:g} "
        "times where it settles.",
        factor,
        "per layer, by a straight line through logarithms",
        f"exponentially: at most {FACTOR:g} per layer",
        factor <= FACTOR,
    )


def _decay(own: np.ndarray, end: float) -> tuple[float, int]:
    """The fitted factor per layer while the gap is well above where it settles, and over how many layers; else 1."""
    still = own > ABOVE * end
    layers = len(own) if still.all() else int(np.argmin(still))
    fitted = growth_through(list(own[: max(layers, 2)]))
    return (1.0 if fitted is None else fitted.factor), layers


def _power_check(rows: Rows) -> Check:
    law = power_law(np.array(widths(rows), dtype=float), floors(rows, SCALED))
    return Check(
        f"Where it settles falls with the power {law.exponent:.2f} of the width.",
        law.exponent,
        "fitted power of the width",
        f"falls with the width, at least like one over its root: at most {POWER:g}",
        law.exponent <= POWER,
    )


def _stays_check(rows: Rows) -> Check:
    left = [settled(rows, PLAIN, width) / gaps(rows, PLAIN, width)[0] for width in widths(rows)]
    furthest = furthest_from_one(np.array(left))
    return Check(
        f"Without batch norm the gap at the end is {furthest:.2f} times the first layer's, at the width where it is "
        "furthest from it.",
        furthest,
        "times the first layer's gap, where furthest",
        f"stays without batch norm: within a factor {STAYS:g} at every width",
        within_factor(furthest, STAYS),
    )


def _floor_check(rows: Rows) -> Check:
    floor = centred_floor(int(number(rows[0], "samples")))
    over = at_infinite_width(rows, NORMED) / floor
    return Check(
        f"PyTorch's batch norm, extrapolated to infinite width, settles at {over:.2f} times 1/√(n(n − 1)), which is "
        f"{floor:.3f}: samples that are centred cannot be orthogonal.",
        over,
        "times 1/√(n(n − 1))",
        f"within a factor {NEAR:g}",
        within_factor(over, NEAR),
        "normfield",
    )
