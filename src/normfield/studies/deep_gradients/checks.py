"""What the study of deep gradients asks of its table."""

from __future__ import annotations

from normfield.studies.curves import column, number, within_factor
from normfield.studies.deep_gradients.table import (
    BARE,
    BARE_HE,
    NETWORKS,
    RELU,
    WITH_BOTH,
    WITH_NORM,
    WORDS,
    Drawn,
    growth,
    off_theory,
    own_rows,
    relative,
    span,
)
from normfield.studies.frame import Rows
from normfield.studies.verdicts import Check, Verdict

#: "Exponential decay": at most so much is left per layer, a hundredth over ninety.
DECAYS = 0.95
#: "Grows": per layer.
GROWS = 1.05
#: "Without pathologies": decades between any two layers.
DECADES = 2.0
#: Of the predicted norm: to such a factor at every layer, and of the factor per layer.
ALONG, NEAR = 2.0, 1.05


def verdict(rows: Rows) -> Verdict:
    ends = {one: float(relative(own_rows(rows, RELU, one))[0]) for one in (BARE, WITH_NORM, WITH_BOTH)}
    layers = int(column(rows, "layer").max()) + 1
    sentence = (
        f"Through {layers} layers with ReLU the gradient comes to the second layer {ends[BARE]:.1e} times as large as "
        f"to the last but one without batch norm, {ends[WITH_NORM]:.1e} times with it, and {ends[WITH_BOTH]:.2g} times "
        "with skip connections as well."
    )
    checks = (
        *(_decay_check(rows, one) for one in NETWORKS),
        *(_prevents_check(rows, one) for one in NETWORKS),
        _grows_check(rows),
        *(_flows_check(rows, one) for one in NETWORKS),
        *(_rate_check(rows, one) for one in NETWORKS),
        *(_along_check(rows, one) for one in (BARE, WITH_BOTH)),
        _variance_check(rows),
    )
    return Verdict(sentence, checks)


def _decay_check(rows: Rows, activation: str) -> Check:
    factor = growth(own_rows(rows, activation, BARE))
    return Check(
        f"{WORDS[activation]} without batch norm: the gradient's norm is multiplied by {factor:.3f} per layer going "
        "backwards.",
        factor,
        "per layer, fitted",
        f"decays exponentially without normalisation: at most {DECAYS:g} per layer",
        factor <= DECAYS,
    )


def _prevents_check(rows: Rows, activation: str) -> Check:
    share = float(relative(own_rows(rows, activation, WITH_NORM))[0])
    return Check(
        f"{WORDS[activation]} with batch norm: the second layer's gradient has {share:.2g} times the norm of the last "
        "but one's.",
        share,
        "times the last but one's",
        "batch norm prevents the decay: above 1",
        share > 1,
    )


def _grows_check(rows: Rows) -> Check:
    factors = {WORDS[one]: growth(own_rows(rows, one, WITH_NORM)) for one in NETWORKS}
    most = max(factors.values())
    words = ", ".join(f"{factor:.3f} with {name}" for name, factor in factors.items())
    return Check(
        f"With batch norm the norm grows per layer by {words}.",
        most,
        "per layer, the most",
        f"norms grow with depth with certain activations: by {GROWS:g} at least with one",
        most >= GROWS,
    )


def _flows_check(rows: Rows, activation: str) -> Check:
    decades, alone = (span(own_rows(rows, activation, one)) for one in (WITH_BOTH, WITH_NORM))
    return Check(
        f"{WORDS[activation]} with batch norm and skip connections: the largest and smallest norm of a layer are "
        f"{decades:.2f} decades apart, {alone:.2f} with batch norm alone.",
        decades,
        "decades between layers",
        f"without pathologies: at most {DECADES:g}, and less than half of what batch norm alone leaves",
        decades <= DECADES and decades < alone / 2,
    )


def _rate_check(rows: Rows, activation: str) -> Check:
    own = own_rows(rows, activation, WITH_NORM)
    first, second = (number(row, "theory") for row in own[:2])
    over = growth(own) / (first / second)
    return Check(
        f"{WORDS[activation]} with batch norm: the growth per layer is {over:.4f} times √λ_G = {first / second:.4f}.",
        over,
        "times theory",
        f"within a factor {NEAR:g}",
        within_factor(over, NEAR),
        "normfield",
    )


def _along_check(rows: Rows, network: Drawn) -> Check:
    over = {one: off_theory(own_rows(rows, one, network)) for one in NETWORKS}
    words = ", ".join(f"{value:.2f} times with {WORDS[one]}" for one, value in over.items())
    factors = [max(value, 1 / value) if value else float("nan") for value in over.values()]
    return Check(
        f"{network.name[:1].upper()}{network.name[1:]}: of what theory predicts the norm is {words}, at the layer "
        "where it is furthest from it.",
        max(factors),
        "factor between norm and theory, the largest",
        f"within a factor {ALONG:g} at every layer",
        all(within_factor(value, ALONG) for value in over.values()),
        "normfield",
    )


def _variance_check(rows: Rows) -> Check:
    decades = span(own_rows(rows, RELU, BARE_HE))
    return Check(
        f"ReLU without batch norm at σ_w² = 2: layers are {decades:.2f} decades apart. It is the initial variance that "
        "makes gradients vanish without normalisation.",
        decades,
        "decades between layers",
        f"at most {DECADES:g}",
        decades <= DECADES,
        "normfield",
    )
