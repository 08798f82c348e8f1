"""What is asked of kernels beside measurements."""

from __future__ import annotations

import numpy as np

from normfield.studies.curves import column, furthest_from_one, number, times_off, where, within_factor
from normfield.studies.frame import Row, Rows
from normfield.studies.kernel_agreement.table import (
    DATA,
    READINGS,
    at_full_width,
    capital,
    hard_case,
    in_words,
    ratio,
    shortfall,
    width_trend,
)
from normfield.studies.verdicts import Check, Verdict, Whose

#: The kernel against the mean of the ten top eigenvalues, which it gives at infinite width, and against the largest.
MEAN, LARGEST = 1.02, 1.06
#: "Falls with width": the fitted exponent below 0 by so many of its standard errors.
CLEARLY = 2.0


def verdict(rows: Rows) -> Verdict:
    """At the full width mean and largest for each data set, the trend with width; beside them, the hard case."""
    full, trend = at_full_width(rows), width_trend(rows)
    names = list(dict.fromkeys(row["data"] for row in full))
    checks = [
        *(_mean_check(where(full, data=name), str(name)) for name in names),
        *(_largest_check(where(full, data=name), str(name)) for name in names),
        _width_check(trend, "measured_mean", "the mean of the top ten"),
        _width_check(trend, "measured_largest", "the largest eigenvalue"),
        *(_field_check(full, reading) for reading in ("batch", "published")),
        *_hard_checks(hard_case(rows)),
    ]
    sentence = (
        f"At width {number(full[0], 'width'):.0f} the kernel of the batch gives {in_words(ratio(full))} times the "
        f"measured mean of the ten top eigenvalues and {in_words(ratio(full, measured='measured_largest'))} times the "
        f"largest; the published mean-field theory gives {in_words(ratio(full, 'published'))} times the mean."
    )
    return Verdict(sentence, tuple(checks))


def _place(row: Row) -> str:
    return f"depth {row['depth']}, γ = {row['gamma']:g}"


def _furthest(rows: Rows, reading: str, measured: str = "measured_mean") -> tuple[float, str]:
    """Prediction over measurement where it is furthest from 1, and where that is."""
    ratios = ratio(rows, reading, measured)
    worst = furthest_from_one(ratios)
    return worst, _place(rows[int(np.argmax(ratios == worst))])


def _mean_check(rows: Rows, data: str, whose: Whose = "paper") -> Check:
    worst, place = _furthest(rows, "kernel")
    return Check(
        f"{capital(DATA[data])}: the kernel's λ_max is up to {times_off(worst)} against the mean of the ten top "
        f"eigenvalues ({place}).",
        worst,
        "kernel / measured mean of the top ten",
        f"within {100 * (MEAN - 1):.0f} % at every depth and γ",
        within_factor(worst, MEAN),
        whose,
    )


def _largest_check(rows: Rows, data: str, whose: Whose = "paper") -> Check:
    worst, place = _furthest(rows, "kernel", "measured_largest")
    return Check(
        f"{capital(DATA[data])}: it is up to {times_off(worst)} against the largest eigenvalue, which a finite width "
        f"splits from the other nine ({place}).",
        worst,
        "kernel / measured largest",
        f"within {100 * (LARGEST - 1):.0f} % at every depth and γ",
        within_factor(worst, LARGEST),
        whose,
    )


def _width_check(trend: Rows, measured: str, words: str) -> Check:
    law = shortfall(trend, measured)
    widths = column(trend, "width")
    return Check(
        f"From width {widths[0]:.0f} to {widths[-1]:.0f} the distance of {words} from the kernel's λ_max goes "
        f"from {100 * law.values[0]:.2g} % to {100 * law.values[-1]:.2g} %, "
        f"as width^({law.exponent:.2f} ± {law.error:.2f}), over the last step as width^({law.last_exponent:.2f}).",
        law.exponent,
        "fitted exponent of the width",
        f"below 0 by {CLEARLY:g} standard errors",
        law.exponent < -CLEARLY * law.error,
    )


def _field_check(rows: Rows, reading: str) -> Check:
    worst, place = _furthest(rows, reading)
    data = rows[int(np.argmax(ratio(rows, reading) == worst))]["data"]
    return Check(
        f"{capital(READINGS[reading])}: up to {times_off(worst)} against the mean of the ten top eigenvalues "
        f"({DATA[str(data)]}, {place}).",
        worst,
        "theory / measured mean of the top ten",
        f"within {100 * (MEAN - 1):.0f} %, as the kernel is asked for",
        within_factor(worst, MEAN),
        "normfield",
    )


def _hard_checks(rows: Rows) -> list[Check]:
    checks = []
    for name in dict.fromkeys(str(row["data"]) for row in rows):
        own = where(rows, data=name)
        checks += [_mean_check(own, name, "normfield"), _largest_check(own, name, "normfield")]
    return checks
