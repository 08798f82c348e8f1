"""What the study of percentiles asks of its table."""

from __future__ import annotations

import numpy as np

from normfield.report import format_number
from normfield.studies.frame import Rows
from normfield.studies.percentiles.table import (
    ACCURACY,
    NORMED,
    PLAIN,
    curves,
    farthest,
    spread_factors,
    steps,
)
from normfield.studies.verdicts import Check, Verdict

#: "Much more stable": at most this share of what happens without batch norm.
SHARE = 0.5
#: From which part of training on the spread is looked at once more.
LATER = 0.2


def verdict(rows: Rows) -> Verdict:
    spread = {network: float(np.mean(spread_factors(rows, network))) for network in (NORMED, PLAIN)}
    end = {network: 100 * float(curves(rows, network, ACCURACY)[:, -1].mean()) for network in (NORMED, PLAIN)}
    sentence = (
        "From the 15th to the 85th percentile of what a sigmoid is given the distance grows by a factor of "
        f"{format_number(spread[NORMED], 2)} with batch norm and {format_number(spread[PLAIN], 2)} without; the "
        f"networks end with {end[NORMED]:.1f} and {end[PLAIN]:.1f} % of the test images right."
    )
    checks = (
        _spread_check(rows),
        _median_check(rows),
        _faster_check(rows),
        _end_check(rows),
        _later_check(rows),
    )
    return Verdict(sentence, checks)


def _spread_check(rows: Rows) -> Check:
    """In logarithms: a factor of 4 is twice one of 2."""
    normed, plain = (np.log(spread_factors(rows, network)) for network in (NORMED, PLAIN))
    value = _worst(normed, plain)
    return Check(
        f"Over training the spread of a sigmoid's inputs changes by a factor of {_numbers(np.exp(normed))} with "
        f"batch norm and {_numbers(np.exp(plain))} without, in {len(normed)} pairs of runs.",
        value,
        "with batch norm over without, in logarithms, the largest of the pairs",
        f"spreads stay put with batch norm: at most {SHARE:g} in every pair",
        value <= SHARE,
    )


def _median_check(rows: Rows) -> Check:
    normed, plain = (farthest(rows, network) for network in (NORMED, PLAIN))
    value = _worst(normed, plain)
    return Check(
        f"Medians get as far as {_numbers(normed)} from where they were with batch norm and {_numbers(plain)} "
        "without, root mean square over the units.",
        value,
        "with batch norm over without, the largest of the pairs",
        f"medians stay put with batch norm: at most {SHARE:g} in every pair",
        value <= SHARE,
    )


def _faster_check(rows: Rows) -> Check:
    leads = 100 * (curves(rows, NORMED, ACCURACY) - curves(rows, PLAIN, ACCURACY)).mean(axis=1)
    return Check(
        f"In the mean over training test accuracy is {leads.min():+.2f} to {leads.max():+.2f} points ahead with "
        f"batch norm, in {len(leads)} pairs of runs.",
        float(leads.min()),
        "points of test accuracy, the least of the pairs",
        "trains faster: above 0 in every pair",
        bool(np.all(leads > 0)),
    )


def _end_check(rows: Rows) -> Check:
    leads = 100 * (curves(rows, NORMED, ACCURACY) - curves(rows, PLAIN, ACCURACY))[:, -1]
    return Check(
        f"At the end test accuracy is {leads.min():+.2f} to {leads.max():+.2f} points ahead with batch norm.",
        float(leads.min()),
        "points of test accuracy, the least of the pairs",
        "ends more accurate: above 0 in every pair",
        bool(np.all(leads > 0)),
    )


def _later_check(rows: Rows) -> Check:
    """The first look is at initial weights, which are small: without batch norm the spread must grow once."""
    after = next(k for k, step in enumerate(steps(rows)) if step >= LATER * steps(rows)[-1])
    normed, plain = (np.log(spread_factors(rows, network, after)) for network in (NORMED, PLAIN))
    value = _worst(normed, plain)
    return Check(
        f"From step {steps(rows)[after]:,} on the spread changes by a factor of {_numbers(np.exp(normed))} with "
        f"batch norm and {_numbers(np.exp(plain))} without: what is left when the growth from small initial weights "
        "is over.",
        value,
        "with batch norm over without, in logarithms, the largest of the pairs",
        f"spreads stay put later on, too: at most {SHARE:g} in every pair",
        value <= SHARE,
        "normfield",
    )


def _worst(normed: np.ndarray, plain: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.max(normed / plain))


def _numbers(values: np.ndarray) -> str:
    return " and ".join(format_number(float(value), 2) for value in values)
