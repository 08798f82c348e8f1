"""Kohler et al. on networks: lengths and directions of one unit after another, beside three ways to descend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, lines
from normfield.studies.curves import column, number, where
from normfield.studies.decoupled_networks.problems import (
    DIGITS,
    GAUSSIAN,
    NORMED,
    PLAIN,
    WEIGHTS,
    network,
    samples,
)
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.verdicts import Check, Verdict
from normfield.train import Run, train_once
from normfield.train.decoupling import DecoupledRun, train_decoupled

UNITS = "lengths and directions"
RIVALS = (PLAIN, NORMED, WEIGHTS)
HALVINGS = 8

#: A loss in float32 that rises by less than this share over a sweep is held to have stayed.
SLACK = 1e-4


@dataclass(frozen=True)
class Settings:
    """Hidden layers, restarts, width, samples, sweeps, and log₁₀ of the learning rates of the others."""

    layers: tuple[int, ...]
    restarts: int
    width: int
    samples: int
    sweeps: int
    log_rates: tuple[float, ...]


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {
            "problem": problem,
            "layers": layers,
            "restart": restart,
            "method": method,
            "rate": rate,
            "seed": seed,
        }
        for problem in (GAUSSIAN, DIGITS)
        for layers in settings.layers
        for restart in range(settings.restarts)
        for method in (UNITS, *RIVALS)
        for rate in ([0.0] if method == UNITS else [10**power for power in settings.log_rates])
    ]


def _measure(settings: Settings, group: Rows) -> Sequence[Row]:
    """One start unit by unit, and by the others with as many gradient evaluations."""
    first = group[0]
    layers = int(number(first, "layers"))
    seed = 1_000 * int(number(first, "seed")) + int(number(first, "restart"))
    data = samples(str(first["problem"]), settings.samples, seed)
    own = train_decoupled(
        network(layers, settings.width, PLAIN, seed), data, steps=settings.sweeps, halvings=HALVINGS
    )
    spent = int(own.gradient_evaluations[-1])
    return [
        _own_row(own)
        if point["method"] == UNITS
        else _row(
            train_once(
                network(layers, settings.width, str(point["method"]), seed),
                data,
                learning_rate=number(point, "rate"),
                momentum=0.0,
                batch_size=None,
                steps=spent,
            ),
            spent,
        )
        for point in group
    ]


def _own_row(run: DecoupledRun) -> Row:
    return {
        "evaluations": int(run.gradient_evaluations[-1]),
        "first_loss": float(run.losses[0]),
        "final_loss": float(run.losses[-1]),
        "largest_factor": _largest_factor(run.losses),
        "risen_visits": run.rises / run.visits,
        "diverged": 0,
    }


def _row(run: Run, spent: int) -> Row:
    """A run that diverged counts with the loss it began with."""
    return {
        "evaluations": spent,
        "first_loss": run.first_loss,
        "final_loss": run.first_loss if run.final_loss is None else min(run.final_loss, run.first_loss),
        "largest_factor": _largest_factor(np.array(run.losses)),
        "risen_visits": 0.0,
        "diverged": int(run.final_loss is None),
    }


def _largest_factor(losses: np.ndarray) -> float:
    """Of the loss over one step or sweep, at most 10⁶."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        return float(np.nan_to_num(losses[1:] / losses[:-1], nan=1e6, posinf=1e6).clip(max=1e6).max())


def _cases(rows: Rows) -> list[tuple[str, int]]:
    return list(dict.fromkeys((str(row["problem"]), int(number(row, "layers"))) for row in rows))


def _rates(rows: Rows) -> list[float]:
    return sorted({number(row, "rate") for row in rows if row["method"] != UNITS})


def _median(rows: Rows) -> float:
    return float(np.median(column(rows, "final_loss")))


def _at_best_rate(rows: Rows, method: str) -> float:
    """The least over rates of the median over restarts."""
    own = where(rows, method=method)
    return min(_median(where(own, rate=rate)) for rate in {row["rate"] for row in own})


def _draw(rows: Rows) -> tuple[Figure, ...]:
    return tuple(_figure(where(rows, problem=name, layers=layers)) for name, layers in _cases(rows))


def _figure(rows: Rows) -> Figure:
    rates, own = _rates(rows), _median(where(rows, method=UNITS))
    name, layers = _cases(rows)[0]
    return lines(
        [
            Series(method, rates, [_median(where(rows, method=method, rate=rate)) for rate in rates])
            for method in RIVALS
        ],
        "learning rate",
        "loss after as many gradient evaluations",
        log_x=True,
        log_y=True,
        marks=[Mark(own, UNITS, "y")],
        title=f"Training loss, {name}, {layers} hidden layer{'s' if layers > 1 else ''}",
        caption="Median over restarts, the marked line without a learning rate. A run that diverged counts with the "
        "loss it began with.",
    )


def _tabulate(rows: Rows) -> Table:
    cells = [
        (
            name,
            layers,
            number(where(rows, problem=name, layers=layers, method=UNITS)[0], "evaluations"),
            *(_at_best_rate(where(rows, problem=name, layers=layers), m) for m in (UNITS, *RIVALS)),
        )
        for name, layers in _cases(rows)
    ]
    methods = (Column(method, digits=3) for method in (UNITS, *RIVALS))
    return Table(
        "Median training loss at the best learning rate, after as many gradient evaluations",
        (Column("problem"), Column("hidden layers"), Column("gradient evaluations", digits=5), *methods),
        cells,
    )


def _verdict(rows: Rows) -> Verdict:
    own = where(rows, method=UNITS)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = column(own, "final_loss") / column(own, "first_loss")
    most = float(np.max(_times(rows, PLAIN)))
    checks = (
        _falling_check(own),
        *(_against(rows, method) for method in RIVALS),
        _rates_check(rows),
    )
    return Verdict(
        f"Unit by unit, without a learning rate, {np.min(shares):.2g} to {np.max(shares):.2g} of the loss is left, at "
        f"most {most:.3g} times what gradient descent leaves at its best learning rate.",
        checks,
    )


def _times(rows: Rows, rival: str) -> np.ndarray:
    """The loss left over that of another method at its best learning rate, by problem and depth."""
    cases = [where(rows, problem=name, layers=layers) for name, layers in _cases(rows)]
    own, other = (np.array([_at_best_rate(case, method) for case in cases]) for method in (UNITS, rival))
    with np.errstate(divide="ignore", invalid="ignore"):
        return own / other


def _falling_check(own: Rows) -> Check:
    most = float(np.max(column(own, "largest_factor")))
    risen = float(np.mean(column(own, "risen_visits")))
    return Check(
        f"On {len(own)} runs the loss after a sweep is at most {most:.4f} times that before; it rose in {risen:.1%} of "
        "the visits to a unit.",
        most,
        "times the loss before the sweep, the largest",
        f"at most 1 + {SLACK:g} on every run",
        most <= 1 + SLACK,
    )


def _against(rows: Rows, rival: str) -> Check:
    ratios = _times(rows, rival)
    most = float(np.max(ratios))
    return Check(
        f"Unit by unit the loss left is {np.min(ratios):.3g} to {most:.3g} times that of {rival} at its best learning "
        "rate of the grid, with as many gradient evaluations.",
        most if math.isfinite(most) else 0.0,
        "times the loss, the largest over problems and depths",
        "at most 1",
        most <= 1,
        "normfield",
    )


def _rates_check(rows: Rows) -> Check:
    behind = [
        _median(where(rows, problem=name, layers=layers, method=rival, rate=rate))
        > _at_best_rate(where(rows, problem=name, layers=layers), UNITS)
        for name, layers in _cases(rows)
        for rival in RIVALS
        for rate in _rates(rows)
    ]
    share = float(np.mean(behind))
    return Check(
        f"At {share:.0%} of the learning rates of the grid the others end with a higher loss than unit by unit.",
        share,
        "of the learning rates, over methods, problems and depths",
        "at least half",
        share >= 0.5,
        "normfield",
    )


STUDY = Study(
    name="kohler-networks",
    title="Does learning length and direction apart carry over to networks, unit by unit?",
    citation="Kohler, Daneshmand, Lucchi, Hofmann, Zhou, Neymeyr 2019, on networks",
    link="https://arxiv.org/abs/1805.10694",
    claim=(
        "Gradient descent in normalised parameters with bisection of the length carries over from halfspaces to the "
        "units of a network, trained one after another with no learning rate to choose."
    ),
    background=(
        "On least squares and halfspaces a step of the direction follows from the largest eigenvalue of the inputs' "
        "second moments, and the length from a bisection. In a network the loss as a function of one unit's weights, "
        "all others held, is a problem of the same kind, with the layer's inputs in the place of the data."
    ),
    setting=(
        "ReLU networks on the full batch, squared loss, 10 inputs: sin x₁ + x₂x₃/2 of Gaussian inputs, and ±1 for "
        "digits below 5 or not by their 10 leading principal components. Gradient descent, the same with batch norm "
        "and with weight norm in each hidden layer, take as many full-batch gradients as the sweeps over units took; a "
        f"derivative forwards counts as one. {HALVINGS} halvings each bisection."
    ),
    differences=(
        "The paper's theorem is about networks of one hidden layer, Gaussian inputs and exact expectations; here are "
        "samples, and deeper networks as well. That no sweep may raise the loss is our reading of carrying over.",
        "Where a unit has no closed form its local Lipschitz constant is measured: the largest eigenvalue of the "
        "Gauss–Newton matrix of its weights.",
        "The comparison at equal gradient evaluations is ours.",
    ),
    sizes={
        "smoke": Size(
            "1 hidden layer of 4 units, 1 restart, 128 samples, 2 sweeps, 3 learning rates",
            "10 s on one core",
            Settings((1,), 1, 4, 128, 2, (-2.0, -1.0, 0.0)),
        ),
        "small": Size(
            "1 and 2 hidden layers of 8 units, 3 restarts, 256 samples, 10 sweeps, 7 learning rates",
            "about 2 minutes on one core",
            Settings((1, 2), 3, 8, 256, 10, (-2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5)),
        ),
        "paper": Size(
            "1, 2 and 4 hidden layers of 32 units, 10 restarts, 1,024 samples, 50 sweeps, 13 learning rates",
            "days on one core; not yet run by us",
            Settings((1, 2, 4), 10, 32, 1_024, 50, tuple(-3 + k / 3 for k in range(13))),
        ),
    },
    points=_points,
    groups=sharing("problem", "layers", "restart"),
    measure=_measure,
    draw=_draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
