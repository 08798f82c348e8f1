"""Kernels beside measurements, drawn: every reading, what is left in per cent, the width, and the hard case."""

from __future__ import annotations

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, lines
from normfield.studies.curves import column, furthest_from_one, number, times_off, where
from normfield.studies.frame import Rows
from normfield.studies.kernel_agreement.checks import MEAN
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
from normfield.studies.power_laws import PowerLaw

#: Points at the same γ are drawn so far apart.
APART = 1.07


def draw(rows: Rows) -> tuple[Figure, ...]:
    """Every reading over γ first."""
    return (_readings_figure(rows), _percent_figure(rows), _width_figure(rows), _hard_figure(rows))


def _readings_figure(rows: Rows) -> Figure:
    """Every reading over the measured mean; a band over data sets and depths."""
    full = at_full_width(rows)
    gammas = sorted({number(row, "gamma") for row in full})
    series = [_band(full, gammas, reading, words) for reading, words in READINGS.items()]
    return lines(
        series,
        "batch norm's scale γ",
        "λ_max, as a multiple of the measured one",
        log_x=True,
        log_y=True,
        title=f"The kernel gives {in_words(ratio(full))} times the measured λ_max, the published theory "
        f"{in_words(ratio(full, 'published'))} times",
        caption="1 is the measured mean of the ten top eigenvalues, in training mode. Lines: the middle over data sets "
        "and depths; tints: from the least to the largest. Nothing is fitted.",
    )


def _band(rows: Rows, gammas: list[float], reading: str, words: str) -> Series:
    ratios = [ratio(where(rows, gamma=gamma), reading) for gamma in gammas]
    return Series(
        words,
        gammas,
        [float(np.exp(np.log(each).mean())) for each in ratios],
        "line" if reading == "kernel" else "dashed",
        low=[float(each.min()) for each in ratios],
        high=[float(each.max()) for each in ratios],
    )


def _percent_figure(rows: Rows) -> Figure:
    """The measured values above the kernel's in per cent, every data set and depth on its own."""
    full = at_full_width(rows)
    names = list(dict.fromkeys((row["data"], row["depth"]) for row in full))
    means = [
        _excess(
            where(full, data=d, depth=L), f"{DATA[str(d)]}, depth {L}", APART ** (k - (len(names) - 1) / 2)
        )
        for k, (d, L) in enumerate(names)
    ]
    worst = furthest_from_one(1 / ratio(full))
    return lines(
        means,
        "batch norm's scale γ",
        "measured mean of the top ten, above the kernel's λ_max (%)",
        log_x=True,
        marks=[
            Mark(side * 100 * (MEAN - 1), f"{side * 100 * (MEAN - 1):+.0f} %", axis="y") for side in (1, -1)
        ],
        title=f"The mean of the top ten is within {_percent(worst)} of the kernel at width "
        f"{number(full[0], 'width'):.0f}, on every data set",
        caption="Points: the mean over networks, those of one γ drawn side by side; bars: two standard errors of that "
        "mean. Marked: what is asked.",
    )


def _excess(rows: Rows, words: str, aside: float) -> Series:
    """Measured mean over kernel, drawn so many times beside its γ."""
    kernel = column(rows, "kernel")
    error = 200 * column(rows, "mean_spread") / np.sqrt(column(rows, "networks")) / kernel
    value = 100 * (column(rows, "measured_mean") / kernel - 1)
    return Series(
        words, aside * column(rows, "gamma"), value, "markers", low=value - error, high=value + error
    )


def _width_figure(rows: Rows) -> Figure:
    """How far mean and largest are from the kernel, against the width, with the fitted powers."""
    trend = width_trend(rows)
    mean, largest = shortfall(trend, "measured_mean"), shortfall(trend, "measured_largest")
    series = [
        *_power_series(trend, largest, "largest", "the largest"),
        *_power_series(trend, mean, "mean", "mean of the top ten"),
    ]
    return lines(
        series,
        "width of the hidden layers",
        "distance from the kernel's λ_max (%)",
        log_x=True,
        log_y=True,
        title=f"What is left is finite width: the mean's distance falls as width^({mean.exponent:.2f} ± "
        f"{mean.error:.2f}), the largest's as width^({largest.exponent:.2f} ± {largest.error:.2f})",
        caption=f"{capital(DATA[str(trend[0]['data'])])}, depth {trend[0]['depth']}, γ = {trend[0]['gamma']:g}; "
        "bars: two standard errors of the mean over networks.",
    )


def _power_series(rows: Rows, law: PowerLaw, name: str, words: str) -> list[Series]:
    widths, kernel = column(rows, "width"), column(rows, "kernel")
    distance = 100 * np.abs(column(rows, f"measured_{name}") / kernel - 1)
    error = 200 * column(rows, f"{name}_spread") / np.sqrt(column(rows, "networks")) / kernel
    low = np.maximum(distance - error, distance / 10)
    points = Series(
        f"{words}, measured", widths, distance, "markers", low=low, high=distance + error, group=words
    )
    line = [100 * law.at(width) for width in widths]
    return [points, Series(f"{words}, fitted power of the width", widths, line, group=words)]


def _hard_figure(rows: Rows) -> Figure:
    """Each pixel standardised by itself: the kernel, mean-field theory, and what is measured."""
    hard = hard_case(rows)
    data, depth = hard[0]["data"], max(number(row, "depth") for row in hard)
    own = where(hard, data=data, depth=depth)
    gammas, unit = column(own, "gamma"), column(own, "measured_mean")
    series = [
        Series(words, gammas, ratio(own, reading), "line" if reading == "kernel" else "dashed")
        for reading, words in READINGS.items()
    ]
    for name, words in (("mean", "measured: mean of the top ten"), ("largest", "measured: the largest")):
        value, error = (column(own, key) / unit for key in (f"measured_{name}", f"{name}_spread"))
        series.append(Series(words, gammas, value, "markers", low=value - error, high=value + error))
    worst = furthest_from_one(ratio(hard))
    return lines(
        series,
        "batch norm's scale γ",
        "λ_max, as a multiple of the measured mean",
        log_x=True,
        log_y=True,
        title=f"The hard case, {DATA[str(data)]}, depth {depth:.0f}: the kernel is up to {times_off(worst)} against "
        "the mean of the top ten",
        caption="A pixel that is rarely inked gets large values in few images. Bars: spread over networks.",
    )


def _percent(ratio: float) -> str:
    """How far a ratio is from 1, either way."""
    return f"{100 * (max(ratio, 1 / ratio) - 1):.2g} %" if ratio > 0 else "an unknown share"


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("data"),
        Column("depth"),
        Column("γ"),
        Column("width"),
        Column("kernel", digits=4),
        Column("measured: mean of top ten", digits=4),
        Column("±", digits=2),
        Column("measured: largest", digits=4),
        Column("±", digits=2),
        *(Column(READINGS[name], digits=4) for name in ("published", "frozen", "batch")),
    ]
    keys = (
        "depth",
        "gamma",
        "width",
        "kernel",
        "measured_mean",
        "mean_spread",
        "measured_largest",
        "largest_spread",
    )
    body = [
        (DATA[str(row["data"])], *(row[key] for key in (*keys, "published", "frozen", "batch")))
        for row in rows
    ]
    notes = (
        f"Measured in training mode on {int(number(rows[0], 'networks'))} networks with the same batch; ±: their "
        "standard deviation. Mean-field theory assumes i.i.d. inputs.",
    )
    return Table("λ_max by the kernel of the batch, by mean-field theory, and measured", columns, body, notes)
