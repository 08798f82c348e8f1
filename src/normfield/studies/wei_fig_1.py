"""Wei et al., Fig. 1: λ_max and η* against γ, with and without batch norm, dense and convolutional."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.network import Network, convnet, mlp
from normfield.report import Column, Figure, Mark, Series, Table, lines
from normfield.studies.curves import (
    column,
    crossing,
    furthest_from_one,
    number,
    times_off,
    value_at,
    where,
    within_factor,
)
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import each_alone, one_by_one
from normfield.studies.verdicts import Check, Verdict
from normfield.theory import mean_field

MOMENTUM = 0.9

#: "For γ ≲ 3" is read as one crossing between these.
CROSSING = (2.5, 3.5)
#: "Significantly reduces" is read as this factor at least, at γ = 1 where batch norm starts by default.
REDUCTION = 3.0
#: "Three orders of magnitude for η".
DECADES = 3.0
#: Beside the paper: how near the published curve is to that of a network in training mode.
NEAR = 1.25

DENSE, CONV = "fully connected", "convolutional"


@dataclass(frozen=True)
class Settings:
    """The values of γ."""

    gammas: tuple[float, ...]


def _network(architecture: str, *, batch_norm: bool, gamma: float = 1.0) -> Network:
    """Four affine layers as in [Wei, sec. 4]; ε = 0 as in the theory."""
    if architecture == DENSE:
        return mlp(784, 1000, 4, 10, batch_norm=batch_norm, gamma=gamma, eps=0.0)
    return convnet((3, 32, 32), (30, 60, 90), 10, batch_norm=batch_norm, gamma=gamma, eps=0.0)


def _points(settings: Settings, seed: int) -> Rows:
    return [{"architecture": name, "gamma": gamma} for name in (DENSE, CONV) for gamma in settings.gammas]


def _measure(settings: Settings, point: Row) -> Row:
    """λ_max and η* of the plain network and of two readings of the batch-normalised one."""
    architecture = str(point["architecture"])
    plain = _network(architecture, batch_norm=False)
    normed = _network(architecture, batch_norm=True, gamma=number(point, "gamma"))
    fields = {
        "plain": mean_field(plain, "published", parameters="weights"),
        "published": mean_field(normed, "published"),
        "training_mode": mean_field(normed, "batch"),
    }
    row: dict[str, float] = {}
    for name, field in fields.items():
        row[f"{name}_eigenvalue"] = field.largest_eigenvalue
        row[f"{name}_learning_rate"] = field.max_learning_rate(MOMENTUM)
    return row


_CURVES = {
    "without batch norm": ("plain", "line"),
    "batch norm, as published": ("published", "line"),
    "batch norm, in training mode (ours)": ("training_mode", "dashed"),
}


def _draw(rows: Rows) -> tuple[Figure, ...]:
    """The paper's four panels, on its axes."""
    own = {name: where(rows, architecture=name) for name in (DENSE, CONV)}
    return (
        _eigenvalue_panel("a", DENSE, own[DENSE]),
        _rate_panel("b", DENSE, own[DENSE]),
        _eigenvalue_panel("c", CONV, own[CONV]),
        _rate_panel("d", CONV, own[CONV]),
    )


def _series(own: Rows, quantity: str) -> list[Series]:
    gamma = column(own, "gamma")
    return [
        Series(name, gamma, column(own, f"{key}_{quantity}"), style)  # type: ignore[arg-type]
        for name, (key, style) in _CURVES.items()
    ]


def _marks(own: Rows) -> list[Mark]:
    places = {"published": _crossing(own, "published"), "training mode": _crossing(own, "training_mode")}
    return [Mark(place, f"{who}: γ = {place:.2f}") for who, place in places.items() if np.isfinite(place)]


def _eigenvalue_panel(letter: str, name: str, own: Rows) -> Figure:
    return lines(
        _series(own, "eigenvalue"),
        "batch norm's scale γ",
        "largest Fisher eigenvalue λ_max",
        marks=_marks(own),
        title=f"({letter}) {name.capitalize()}: how steep the loss is",
        caption="Lower is flatter. Marked: up to which γ the network with batch norm is the flatter one.",
    )


def _rate_panel(letter: str, name: str, own: Rows) -> Figure:
    return lines(
        _series(own, "learning_rate"),
        "batch norm's scale γ",
        "largest stable learning rate η*",
        log_y=True,
        marks=_marks(own),
        title=f"({letter}) {name.capitalize()}: the learning rate that this allows",
        caption=f"η* = 2(1 + μ)/λ_max at momentum μ = {MOMENTUM:g}. Higher is better.",
    )


_READINGS = {"plain": "without", "published": "published", "training_mode": "training mode"}


def _tabulate(rows: Rows) -> Table:
    columns = [Column("network"), Column("γ")]
    columns += [Column(f"λ_max, {words}", digits=4) for words in _READINGS.values()]
    columns += [Column(f"η*, {words}") for words in _READINGS.values()]
    keys = [f"{key}_{what}" for what in ("eigenvalue", "learning_rate") for key in _READINGS]
    body = [(row["architecture"], row["gamma"], *(row[key] for key in keys)) for row in rows]
    return Table("λ_max and η* against γ, by theory", columns, body)


def _crossing(own: Rows, reading: str) -> float:
    """γ up to which a reading's λ_max is below the plain network's."""
    ratio = column(own, f"{reading}_eigenvalue") / column(own, "plain_eigenvalue")
    return crossing(column(own, "gamma"), ratio)


def _reductions(own: Rows) -> float:
    """λ_max without batch norm over that with it, as published, at γ = 1."""
    ratio = column(own, "plain_eigenvalue") / column(own, "published_eigenvalue")
    return value_at(column(own, "gamma"), ratio, 1.0)


def _decades(own: Rows) -> float:
    """How many decades the published η* spans over γ."""
    rates = column(own, "published_learning_rate")
    return float(np.log10(rates.max() / rates.min()))


def _verdict(rows: Rows) -> Verdict:
    own = {name: where(rows, architecture=name) for name in (DENSE, CONV)}
    places = {name: _crossing(curves, "published") for name, curves in own.items()}
    reduction = min(_reductions(curves) for curves in own.values())
    decades = min(_decades(curves) for curves in own.values())
    checks = [
        *(_crossing_check(name, place) for name, place in places.items()),
        _reduction_check(reduction),
        _span_check(decades),
        *(_training_check(name, _crossing(curves, "training_mode")) for name, curves in own.items()),
        _nearness_check(rows),
    ]
    up_to = " and ".join(f"γ = {place:.2f} ({name})" for name, place in places.items())
    sentence = (
        f"By the published theory batch norm lowers λ_max up to {up_to}, at γ = 1 at least {reduction:.1f} times, "
        f"and η* spans at least {decades:.1f} decades over γ."
    )
    return Verdict(sentence, tuple(checks))


def _up_to(place: float) -> str:
    return (
        "does not cross the plain network's exactly once"
        if np.isnan(place)
        else f"is below the plain network's up to γ = {place:.2f}"
    )


def _crossing_check(name: str, place: float) -> Check:
    low, high = CROSSING
    return Check(
        f"{name.capitalize()}: the published λ_max {_up_to(place)}, where the paper says γ ≲ 3.",
        place,
        "γ at which both are equal",
        f"one crossing, between {low:g} and {high:g}",
        low <= place <= high,
    )


def _reduction_check(reduction: float) -> Check:
    return Check(
        f"At γ = 1, where batch norms start by default, the published λ_max is at least {reduction:.1f} times smaller "
        "than without batch norm, in both networks.",
        reduction,
        "times smaller",
        f"“significantly reduces” read as {REDUCTION:g} times or more",
        reduction >= REDUCTION,
    )


def _span_check(decades: float) -> Check:
    return Check(
        f"The published η* spans at least {decades:.2f} decades over these γ, in both networks.",
        decades,
        "decades of η*",
        f"“three orders of magnitude”, {DECADES:g} decades or more",
        decades >= DECADES,
    )


def _training_check(name: str, place: float) -> Check:
    return Check(
        f"{name.capitalize()}, in training mode, where the gradient also flows through the batch's mean and variance: "
        f"λ_max {_up_to(place)}.",
        place,
        "γ at which both are equal",
        f"one crossing, not below {CROSSING[0]:g}: then the paper's conclusion stands",
        place >= CROSSING[0],
        "normfield",
    )


def _nearness_check(rows: Rows) -> Check:
    ratio = furthest_from_one(column(rows, "published_eigenvalue") / column(rows, "training_mode_eigenvalue"))
    return Check(
        f"Against training mode the published λ_max is up to {times_off(ratio)}; the shape of the curve is right, its "
        "numbers are not.",
        ratio,
        "published / training mode, the furthest from 1",
        f"within a factor {NEAR:g} at every γ",
        within_factor(ratio, NEAR),
        "normfield",
    )


def _grid(step: float) -> tuple[float, ...]:
    """γ from 0.1 to 4.9, as far as the paper's axes go and a little beyond."""
    return tuple(round(float(gamma), 3) for gamma in np.arange(0.1, 4.9 + step / 2, step))


STUDY = Study(
    name="wei-fig-1",
    title="Does batch norm flatten the loss, and up to which γ?",
    citation="Wei, Stokes, Schwab 2019, Fig. 1 (Eqs. 20–25, 34–45)",
    link="https://arxiv.org/abs/1903.02606",
    claim=(
        "For γ ≲ 3 batch norm significantly reduces the largest eigenvalue λ_max of the Fisher information "
        "matrix, in fully connected and in convolutional networks alike, so that such networks can be trained "
        "with learning rates up to three orders of magnitude apart, larger the smaller γ is."
    ),
    background=(
        "Batch norm rescales every unit's input over a batch to mean 0 and standard deviation γ, a number that "
        "networks usually start with at 1. λ_max says how steep the loss is in its steepest direction at "
        "initialisation; gradient descent with momentum μ is stable there up to the learning rate η* = 2(1 + "
        "μ)/λ_max. A smaller λ_max therefore means a flatter loss and a larger learning rate."
    ),
    setting=(
        "Theory at infinite data, at initialisation: four affine layers with ReLU, σ_w² = 2, σ_b² = 0.5, β = "
        "0, momentum 0.9. Fully connected: 784–1000–1000–1000–10. Convolutional: 30, 60 and 90 channels, 3×3 "
        "kernels, stride 2, no padding, images 3×32×32, dense head of 10. No network was trained or measured "
        "for this page."
    ),
    differences=(
        "The paper does not say which images panels (c) and (d) assume. We take CIFAR-10's shape, with which "
        "its axis of λ_max (0 to 3500) ends where its axis of γ does; with MNIST's shape the curve would reach "
        "2000 there.",
        "Drawn beside the paper's two curves is a third of ours: training mode, in which the gradient also "
        "flows through the batch's mean and variance, as it does in practice. For convolutions the plain "
        "network's curve and ours are lower bounds. The study theory-against-measurement compares the readings "
        "with real networks.",
    ),
    sizes={
        "smoke": Size(
            "9 values of γ, two networks", "1 s", Settings((0.1, 0.5, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 4.9))
        ),
        "small": Size("49 values of γ, two networks", "1 s", Settings(_grid(0.1))),
        "paper": Size("97 values of γ, two networks", "2 s", Settings(_grid(0.05))),
    },
    points=_points,
    groups=each_alone,
    measure=one_by_one(_measure),
    draw=_draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
