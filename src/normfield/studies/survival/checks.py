"""What the study of learning rates asks of its table."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows
from normfield.studies.survival.table import GUESSING, LOSS, NORMED, PLAIN, accuracy, last, rates
from normfield.studies.verdicts import Check, Verdict

#: A network survives that ends with a training loss so far below guessing.
SURVIVES = 0.1
#: "Similar", and the same as "clear advantage" the other way: points of test accuracy.
SIMILAR = 5.0
#: The step size above which the loss is said to explode, and what counts as that: so many times the first step's.
STEP, EXPLODES = 1e-3, 2.0


def verdict(rows: Rows) -> Verdict:
    small, *_, large = rates(rows)
    ends = {
        (network, rate): accuracy(rows, network, rate)
        for network in (NORMED, PLAIN)
        for rate in (small, large)
    }
    sentence = (
        f"At the small learning rate {small:g} the network ends with {ends[NORMED, small]:.0f} % of the test images "
        f"right with batch norm and {ends[PLAIN, small]:.0f} % without; at the large one, {large:g}, with "
        f"{ends[NORMED, large]:.0f} % and {ends[PLAIN, large]:.0f} %."
    )
    checks = (
        _similar_check(rows),
        _survival_check(rows, NORMED),
        _survival_check(rows, PLAIN),
        _advantage_check(rows),
        _explosion_check(rows, PLAIN),
        _explosion_check(rows, NORMED),
        _order_check(rows),
    )
    return Verdict(sentence, checks)


def _similar_check(rows: Rows) -> Check:
    small = rates(rows)[0]
    apart = accuracy(rows, NORMED, small) - accuracy(rows, PLAIN, small)
    return Check(
        f"At {small:g} test accuracy ends {apart:+.1f} points apart, with batch norm minus without.",
        apart,
        "points of test accuracy",
        f"similar performance at the small learning rate: within {SIMILAR:g} points",
        abs(apart) <= SIMILAR,
    )


def _survival_check(rows: Rows, network: str) -> Check:
    """With batch norm the worst run must survive, without it the best must not."""
    large = rates(rows)[-1]
    below = GUESSING - last(rows, network, large, LOSS)
    value = float(np.min(below) if network == NORMED else np.max(below))
    lived = int(np.sum(below >= SURVIVES))
    return Check(
        f"At {large:g} {lived} of {len(below)} runs {network} survive.",
        value,
        f"training loss below guessing at the end, the {'least' if network == NORMED else 'most'} of the runs",
        f"only batch norm survives the large learning rate: {'each' if network == NORMED else 'none'} at least "
        f"{SURVIVES:g} below guessing",
        value >= SURVIVES if network == NORMED else value < SURVIVES,
    )


def _advantage_check(rows: Rows) -> Check:
    small, *_, large = rates(rows)
    lead = accuracy(rows, NORMED, large) - max(accuracy(rows, network, small) for network in (NORMED, PLAIN))
    return Check(
        f"With batch norm at {large:g} test accuracy ends {lead:+.1f} points ahead of the better network at {small:g}.",
        lead,
        "points of test accuracy",
        f"larger learning rates are what batch norm is good for: more than {SIMILAR:g} points ahead",
        lead > SIMILAR,
    )


def _explosion_check(rows: Rows, network: str) -> Check:
    """Without batch norm at every step size above 1e-3, with it at none."""
    own = [row for row in where(rows, network=network) if number(row, "learning_rate") > STEP]
    peaks = column(own, "trained_peak")
    value = float(np.max(peaks) if network == NORMED else np.min(peaks))
    exploded = np.sum(peaks >= EXPLODES)
    return Check(
        f"Of the {len(peaks)} runs {network} at step sizes above {STEP:g} the loss of a step comes to {EXPLODES:g} "
        f"times the first one's in {exploded}.",
        value,
        f"largest loss over the first, the {'most' if network == NORMED else 'least'} of the runs",
        f"the loss explodes for steps above {STEP:g} without batch norm and not with it: "
        f"{'below' if network == NORMED else 'at least'} {EXPLODES:g} in each run",
        value < EXPLODES if network == NORMED else value >= EXPLODES,
    )


def _order_check(rows: Rows) -> Check:
    ends = np.array([accuracy(rows, NORMED, rate) for rate in rates(rows)])
    step = float(np.diff(ends).min())
    return Check(
        f"With batch norm test accuracy ends at {', '.join(f'{end:.0f}' for end in ends)} % from the small to the "
        "large learning rate.",
        step,
        "points from one learning rate to the next, the least",
        "the larger the learning rate, the better: above 0",
        step > 0,
        "normfield",
    )
