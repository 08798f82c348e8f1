"""What the study of noisy batch norm asks of its table."""

from __future__ import annotations

import numpy as np

from normfield.report import format_number
from normfield.studies.frame import Rows
from normfield.studies.noise_and_shift.table import NOISY, NORMED, PLAIN, SHIFT, ends, typical
from normfield.studies.verdicts import Check, Verdict

#: "Trains as well": so many points of training accuracy.
SIMILAR = 5.0


def verdict(rows: Rows) -> Verdict:
    shifts = {network: float(np.mean(typical(rows, network, SHIFT))) for network in (NORMED, NOISY, PLAIN)}
    accuracies = {network: float(np.mean(ends(rows, network))) for network in (NORMED, NOISY, PLAIN)}
    sentence = (
        f"Between two looks activations move by {format_number(shifts[NOISY], 2)} standard deviations with noisy "
        f"batch norm, {format_number(shifts[NORMED], 2)} with batch norm and {format_number(shifts[PLAIN], 2)} "
        f"without; {accuracies[NOISY]:.0f}, {accuracies[NORMED]:.0f} and {accuracies[PLAIN]:.0f} % of the training "
        "images are right at the end."
    )
    checks = (
        _shift_check(rows, NORMED),
        _shift_check(rows, PLAIN),
        _similar_check(rows),
        _better_check(rows, NOISY),
        _better_check(rows, NORMED),
        _normed_shift_check(rows),
    )
    return Verdict(sentence, checks)


def _shift_check(rows: Rows, other: str) -> Check:
    ratios = _ratios(rows, NOISY, other)
    return Check(
        f"The shift with noisy batch norm is {format_number(float(ratios.min()))} to "
        f"{format_number(float(ratios.max()))} times that {other}, medians over training in {len(ratios)} pairs of "
        "runs.",
        float(ratios.min()),
        "ratio of the shifts, the least of the pairs",
        f"noise makes shift larger than {other}: above 1 in every pair",
        bool(np.all(ratios > 1)),
    )


def _similar_check(rows: Rows) -> Check:
    leads = ends(rows, NOISY) - ends(rows, NORMED)
    value = float(leads.mean())
    return Check(
        f"With noisy batch norm training accuracy ends {value:+.1f} points from that with batch norm, the mean of "
        f"{len(leads)} pairs of runs.",
        value,
        "points of training accuracy",
        f"trains as well as with batch norm: no more than {SIMILAR:g} points behind",
        value >= -SIMILAR,
    )


def _better_check(rows: Rows, network: str) -> Check:
    leads = ends(rows, network) - ends(rows, PLAIN)
    words = f"{leads.min():+.1f} to {leads.max():+.1f} points"
    return Check(
        f"Training accuracy ends {words} ahead {network} of that without, in {len(leads)} pairs of runs.",
        float(leads.min()),
        "points of training accuracy, the least of the pairs",
        f"trains better {network} than without: above 0 in every pair",
        bool(np.all(leads > 0)),
        "paper" if network == NOISY else "normfield",
    )


def _normed_shift_check(rows: Rows) -> Check:
    ratios = _ratios(rows, NORMED, PLAIN)
    return Check(
        f"The shift with batch norm is {format_number(float(ratios.min()))} to {format_number(float(ratios.max()))} "
        "times that without.",
        float(ratios.max()),
        "ratio of the shifts, the largest of the pairs",
        "batch norm makes shift smaller, as Ioffe and Szegedy meant it to: below 1 in every pair",
        bool(np.all(ratios < 1)),
        "normfield",
    )


def _ratios(rows: Rows, network: str, other: str) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return typical(rows, network, SHIFT) / typical(rows, other, SHIFT)
