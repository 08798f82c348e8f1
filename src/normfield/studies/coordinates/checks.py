"""What the study of coordinate networks asks of its table."""

from __future__ import annotations

import numpy as np

from normfield.studies.coordinates.table import Pair, pairs, steps
from normfield.studies.curves import number, within_factor
from normfield.studies.frame import Row, Rows
from normfield.studies.verdicts import Check, Verdict

#: "Greatly reduces", as in the study wei-fig-1.
REDUCTION = 3.0
#: "Slightly modifies the mean."
SLIGHT = 2.0
#: "Learns": so many decibels more, and of fine detail so many times less left.
GAIN, DETAIL = 1.0, 2.0
FINE = "8_to_16"
#: How near the infinitely wide network's fit is to the trained one's.
NEAR = 1.0
#: And its share of fine detail that is left.
SHARE = 0.1


def verdict(rows: Rows) -> Verdict:
    """Of the paper's claim: maximum, variance, mean, shift, fit and detail; beside it, the kernel's prediction."""
    found = pairs(rows)
    checks = [
        _reduction(found, "largest", "largest eigenvalue"),
        _reduction(found, "variance", "variance of the eigenvalues"),
        _mean(found),
        _shift(found),
        _gain(found),
        _detail(found),
        *(_prediction(row, words) for pair in found[:1] for words, row in _named(pair)),
        *(_fine_prediction(row, words) for pair in found[:1] for words, row in _named(pair)),
    ]
    return Verdict(_sentence(found), tuple(checks))


def _named(pair: Pair) -> list[tuple[str, Row]]:
    return [(f"{row['network']}, {pair.words}".capitalize(), row) for row in (pair.plain, pair.normed)]


def _sentence(found: list[Pair]) -> str:
    last = steps(found[0].plain)[-1]
    variance, largest = (
        _spread([1 / pair.ratio(name) for pair in found]) for name in ("variance", "largest")
    )
    gains = _spread([pair.difference(f"trained_psnr_{last}") for pair in found])
    return (
        f"With batch norm the kernel's largest eigenvalue is {largest} times smaller, the variance {variance} times "
        f"and the mean {_spread([1 / pair.ratio('mean') for pair in found])} times, and after {last} steps the image "
        f"is fitted {gains} dB better."
    )


def _spread(values: list[float]) -> str:
    """The least and the largest in words, one number where they are the same."""
    least, largest = f"{np.min(values):.3g}", f"{np.max(values):.3g}"
    return least if least == largest else f"{least} to {largest}"


def _least(values: list[float]) -> float:
    """The least of them; NaN where one is missing."""
    return float(np.min(values))


def _reduction(found: list[Pair], name: str, words: str) -> Check:
    reductions = [1 / pair.ratio(name) for pair in found]
    least = _least(reductions)
    return Check(
        f"The {words} is {_spread(reductions)} times smaller with batch norm.",
        least,
        "times smaller, at least",
        f"“greatly reduces” read as {REDUCTION:g} times or more, however coordinates are given",
        least >= REDUCTION,
    )


def _mean(found: list[Pair]) -> Check:
    ratios = [pair.ratio("mean") for pair in found]
    worst = ratios[int(np.argmax(np.abs(np.log(ratios))))]
    return Check(
        f"The mean of the eigenvalues is {_spread(ratios)} times the one without batch norm.",
        worst,
        "with / without, the furthest from 1",
        f"“slightly modifies” read as a factor {SLIGHT:g} at most, either way",
        within_factor(worst, SLIGHT),
    )


def _shift(found: list[Pair]) -> Check:
    lifts = [pair.ratio("median") / pair.ratio("largest") for pair in found]
    return Check(
        f"Against the largest eigenvalue the median one is {_spread(lifts)} times larger with batch norm.",
        _least(lifts),
        "times larger, at least",
        f"shifted towards the largest: {REDUCTION:g} times or more",
        _least(lifts) >= REDUCTION,
    )


def _gain(found: list[Pair]) -> Check:
    last = steps(found[0].plain)[-1]
    gains = [pair.difference(f"trained_psnr_{last}") for pair in found]
    return Check(
        f"After {last} steps, each at the best of its learning rates, the network with batch norm fits the image "
        f"{_spread(gains)} dB better.",
        _least(gains),
        "dB, at least",
        f"{GAIN:g} dB or more, however coordinates are given",
        _least(gains) >= GAIN,
    )


def _detail(found: list[Pair]) -> Check:
    ratios = [1 / pair.ratio(f"trained_left_{FINE}") for pair in found]
    shares = "; ".join(f"{pair.words}, {_left(pair.normed)} and {_left(pair.plain)}" for pair in found)
    return Check(
        f"What is left of the image's energy at {FINE.replace('_', ' ')} half periods per side, with and without "
        f"batch norm: {shares}.",
        _least(ratios),
        "times less, at least",
        f"high frequencies are learned: at least {DETAIL:g} times less left",
        _least(ratios) >= DETAIL,
    )


def _left(row: Row) -> str:
    """The share of fine detail that trained networks leave, in words."""
    share = number(row, f"trained_left_{FINE}")
    return "less than 0.01 %" if share < 1e-4 else f"{100 * share:.2g} %"


def _prediction(row: Row, words: str) -> Check:
    """Up to which step the fit follows the kernel."""
    at = steps(row)
    apart = [abs(number(row, f"trained_psnr_{step}") - number(row, f"kernel_psnr_{step}")) for step in at]
    return Check(
        f"{words}: the kernel's fit is within {apart[len(at) // 2]:.2g} dB of the trained one after {at[len(at) // 2]} "
        f"steps, and {apart[-1]:.2g} dB off after {at[-1]}.",
        apart[-1],
        "dB apart at the end",
        f"within {NEAR:g} dB at the end",
        apart[-1] <= NEAR,
        "normfield",
    )


def _fine_prediction(row: Row, words: str) -> Check:
    """Whether the kernel says how much detail is left."""
    trained, kernel = (number(row, f"{source}_left_{FINE}") for source in ("trained", "kernel"))
    return Check(
        f"{words}: of the image's energy at {FINE.replace('_', ' ')} half periods per side trained networks leave "
        f"{100 * trained:.2g} %, the kernel {100 * kernel:.2g} %.",
        kernel - trained,
        "share left by the kernel minus that by training",
        f"at most {100 * SHARE:g} % of that energy apart",
        abs(kernel - trained) <= SHARE,
        "normfield",
    )
