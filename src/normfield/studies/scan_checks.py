"""What the scans of explosion rates say of the paper's claim, and of where the theory holds."""

from __future__ import annotations

import math

import numpy as np

from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows
from normfield.studies.rate_rows import activation_words, furthest_in_percent, off_theory, ratio
from normfield.studies.scan_rows import APART, BETA, EPS, GAMMA, LETTERS, SIZES, SKIP, judged
from normfield.studies.verdicts import Check, Verdict

#: "On the theory's line": so near, twice the standard error counted against it.
NEAR = 0.05
#: "Reduced": the rate's excess over 1, by this factor at least.
TAMED = 3.0
#: Skip connections: how near the simulated exponent is to λ_G.
EXPONENT = 0.1


def verdict(rows: Rows) -> Verdict:
    """The paper's four parts, and what we add: how near the rates are, and where the theory does not hold."""
    gamma, beta, skip = (where(rows, scan=scan) for scan in (GAMMA, BETA, SKIP))
    stable = judged(rows)
    checks = [
        _everywhere_check([*gamma, *beta, *where(rows, scan=SIZES)]),
        _tamed_check(where(gamma, activation="tanh"), 1.0, min(column(gamma, "value"))),
        _tamed_check(where(beta, activation="relu"), 0.0, max(column(beta, "value"))),
        _skip_check(skip),
        *(_line_check(where(stable, scan=scan), scan) for scan in (GAMMA, BETA, SIZES, EPS)),
        _collapse_check(where(stable, scan=EPS)),
        _stability_check([row for row in beta if number(row, "norm_rate") > 1]),
    ]
    return Verdict(_sentence(rows, stable), tuple(checks))


def _sentence(rows: Rows, stable: Rows) -> str:
    gamma, beta, skip = (where(rows, scan=scan) for scan in (GAMMA, BETA, SKIP))
    small, large = min(column(gamma, "value")), max(column(beta, "value"))
    deepest = max(skip, key=lambda row: number(row, "value"))
    without = number(deepest, "theory") ** number(deepest, "value")
    return (
        f"{len(stable)} simulated rates are within {furthest_in_percent(stable)} of theory; "
        f"γ = {small:g} brings tanh's from {_at(gamma, 'tanh', 1.0):.2f} to {_at(gamma, 'tanh', small):.2f} per layer, "
        f"β = {large:g} ReLU's from {_at(beta, 'relu', 0.0):.2f} to {_at(beta, 'relu', large):.2f}; over "
        f"{deepest['value']:g} blocks with skip connections and {activation_words(deepest['activation'])} the squared "
        f"gradient grows {number(deepest, 'simulated_grown'):.3g} times, without them {without:.2g} times."
    )


def _at(own: Rows, name: str, value: float) -> float:
    """The simulated rate of one activation at one value."""
    return number(where(own, activation=name, value=value)[0], "simulated")


def _everywhere_check(own: Rows) -> Check:
    """Explosion "cannot be eliminated"."""
    sure = column(own, "simulated") - 2 * column(own, "error")
    least = own[int(np.argmin(sure))]
    return Check(
        f"Gradients still grow with every γ, β and batch size; least with {activation_words(least['activation'])} at "
        f"{LETTERS[str(least['scan'])]} = {least['value']:g}, by {number(least, 'simulated'):.4g} ± "
        f"{number(least, 'error'):.1g} per layer.",
        float(sure.min()),
        "least rate less two standard errors",
        "above 1 everywhere",
        bool(np.all(sure > 1)),
    )


def _tamed_check(own: Rows, usual: float, place: float) -> Check:
    name, letter = str(own[0]["activation"]), LETTERS[str(own[0]["scan"])]
    before, after = (_at(own, name, value) - 1 for value in (usual, place))
    times = before / after if after else math.inf
    return Check(
        f"With {activation_words(name)}, {letter} = {place:g} instead of {usual:g} brings the rate from "
        f"{1 + before:.3f} to {1 + after:.3f}: {times:.1f} times less above 1.",
        times,
        "times less above 1",
        f"“reduced” read as {TAMED:g} times or more",
        times >= TAMED,
    )


def _skip_check(own: Rows) -> Check:
    off = off_theory(own)
    worst = own[int(np.argmax(off))]
    return Check(
        "With blocks x + Wφ(BN(x)) the squared gradient grows like a power of the depth; the simulated exponent is "
        f"{100 * (ratio([worst])[0] - 1):+.2g} ± {100 * number(worst, 'error') / number(worst, 'theory'):.1g} % off "
        f"λ_G = {number(worst, 'theory'):.3f} where it is furthest ({activation_words(worst['activation'])}, "
        f"{worst['value']:g} blocks).",
        100 * float(off.max()),
        "% off λ_G, two standard errors added",
        f"within {100 * EXPONENT:g} % at every depth",
        bool(np.all(off <= EXPONENT)),
    )


def _line_check(own: Rows, scan: str) -> Check:
    beside = f", ε within a factor {APART:g} of ε_c left out" if scan == EPS else ""
    where_stable = f"within {100 * NEAR:g} % wherever λ_L ≤ 1{beside}"
    if not own:
        return _no_check(f"Over {LETTERS[scan]} 0 points have a stable fixed point.", where_stable)
    off = off_theory(own)
    worst = own[int(np.argmax(off))]
    return Check(
        f"Over {LETTERS[scan]} the simulated rate is {100 * (ratio([worst])[0] - 1):+.2g} ± "
        f"{100 * number(worst, 'error') / number(worst, 'theory'):.1g} % off theory where it is furthest "
        f"({activation_words(worst['activation'])}, {LETTERS[scan]} = {worst['value']:g}).",
        100 * float(off.max()),
        "% off theory, two standard errors added",
        where_stable,
        bool(np.all(off <= NEAR)),
        "normfield",
    )


def _no_check(sentence: str, criterion: str) -> Check:
    return Check(sentence, float("nan"), "no number", criterion, held=False, whose="normfield")


def _stability_check(own: Rows) -> Check:
    """What the condition λ_L < 1 is good for."""
    criterion = f"beyond {100 * NEAR:g} %: then a rate needs this condition beside it"
    if not own:
        return _no_check("0 points over β have an unstable fixed point.", criterion)
    off = np.abs(ratio(own) - 1)
    worst = own[int(np.argmax(off))]
    return Check(
        f"Where λ_L > 1, so that the fixed point is unstable, the network does not follow its rate: at β = "
        f"{worst['value']:g} with {activation_words(worst['activation'])} (λ_L = {number(worst, 'norm_rate'):.2f}) it "
        f"has {number(worst, 'simulated'):.3f} ± {number(worst, 'error'):.1g} per layer instead of "
        f"{number(worst, 'theory'):.3f}.",
        100 * float(off.max()),
        "% off theory, the largest",
        criterion,
        bool(off.max() > NEAR),
        "normfield",
    )


def _collapse_check(own: Rows) -> Check:
    """Below ε_c gradients grow, above they vanish."""
    criterion = "above 1 below ε_c and below 1 above it, with every activation"
    beyond = column(own, "value") > column(own, "transition")
    rate = column(own, "simulated")
    if beyond.all() or not beyond.any():
        return _no_check("0 points stand on one side of ε_c.", criterion)
    below, above = own[int(np.argmin(np.where(beyond, np.inf, rate)))], float(rate[beyond].max())
    least = number(below, "simulated")
    return Check(
        f"Below ε_c the smallest simulated rate is {least:.4f} ({activation_words(below['activation'])}, "
        f"ε = {below['value']:g}, theory {number(below, 'theory'):.4f}), above it the largest is {above:.3f}.",
        least,
        "smallest rate below ε_c",
        criterion,
        bool(least > 1 > above),
        "normfield",
    )
