"""Kohler et al. on least squares: normalised steps without a learning rate, beside the bound on how fast they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, lines
from normfield.studies.curves import column, number, where
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import each_alone, one_by_one
from normfield.studies.verdicts import Check, Verdict
from normfield.theory.linear_models import LeastSquares, descend

#: The bound in float64: so far beyond it is round-off.
SLACK = 1e-9
#: A gap at or below this share of its first value is round-off, and judged no more.
ROUND_OFF = 1e-22
#: The factor per step of ‖e‖_S is held to theory's by H*, in decay: 1 − factor.
NEAR = 0.01


@dataclass(frozen=True)
class Settings:
    """Conditions κ by their decimal logarithm, how many problems of each, and how many steps at most."""

    conditions: tuple[float, ...]
    problems: int
    steps: int


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"log_condition": condition, "problem": number, "seed": seed}
        for condition in settings.conditions
        for number in range(settings.problems)
    ]


def random_problem(log_condition: float, rng: np.random.Generator) -> LeastSquares:
    """2 to 20 inputs in random directions, eigenvalues log-uniform from 1 to κ, both ends included, u normal."""
    inputs = int(rng.integers(2, 21))
    vectors = np.linalg.qr(rng.standard_normal((inputs, inputs)))[0]
    values = 10 ** (log_condition * np.concatenate(([0.0, 1.0], rng.random(inputs - 2))))
    hessian = (vectors * values) @ vectors.T
    hessian = (hessian + hessian.T) / 2
    return LeastSquares(hessian, hessian @ rng.standard_normal(inputs))


def _measure(settings: Settings, point: Row) -> Row:
    """The gap over the bound at every recorded step, and what one step takes off the error at the end."""
    condition = number(point, "log_condition")
    own = (int(number(point, "seed")), round(1000 * condition), int(number(point, "problem")))
    rng = np.random.default_rng(own)
    problem = random_problem(condition, rng)
    found = descend(
        problem, "normalised", start=rng.standard_normal(len(problem.correlation)), steps=settings.steps
    )
    gaps = found.direction_gaps / found.direction_gaps[0]
    bounds = found.bounds / found.direction_gaps[0]
    judged = gaps > ROUND_OFF
    return {
        "inputs": len(problem.correlation),
        "over_bound": float(np.max(gaps[judged][1:] / bounds[judged][1:])),
        "last_over_bound": float(gaps[judged][-1] / bounds[judged][-1]),
        "left": float(max(gaps[-1], 1e-32)),
        "bound_left": float(max(bounds[-1], 1e-300)),
        "decay": _decay(found.recorded_steps[judged], gaps[judged]),
        "bound_decay": 1 / problem.condition_number,
        "theory_decay": 1 - found.predicted_rates,
    }


def _decay(steps: np.ndarray, gaps: np.ndarray) -> float:
    """1 − the factor of ‖e‖_S per step over the latter part of the steps that are above round-off."""
    half = int(np.searchsorted(steps, steps[-1] / 2))
    half = min(half, len(steps) - 2)
    ratio = math.log(gaps[-1] / gaps[half]) / 2
    return -math.expm1(ratio / (steps[-1] - steps[half]))


def _draw(rows: Rows) -> tuple[Figure, ...]:
    """How near the bound runs come, and how fast they are at the end."""
    conditions = (10 ** column(rows, "log_condition")).tolist()
    hover = [f"{row['inputs']} inputs" for row in rows]
    ratio = lines(
        [
            Series(
                "after the last step",
                conditions,
                column(rows, "last_over_bound").tolist(),
                "markers",
                hover=hover,
            )
        ],
        "condition number κ of S",
        "error of the direction over Kohler's bound",
        log_x=True,
        log_y=True,
        marks=[Mark(1.0, "the bound", "y")],
        title="Normalised steps beside Kohler's bound, by condition number",
        caption="(ρ_t − ρ*)/((1 − 1/κ)^{2t}(ρ₀ − ρ*)) at the last step above round-off; one point per problem.",
    )
    speed = lines(
        [
            Series("measured", conditions, column(rows, "decay").tolist(), "markers", hover=hover),
            Series("bound, 1/κ", *_sorted(rows, "bound_decay")),
        ],
        "condition number κ of S",
        "1 − factor of the error per step",
        log_x=True,
        log_y=True,
        title="Rate by rate beside the bound: the slowest direction is often not the one that is left",
    )
    return ratio, speed


def _sorted(rows: Rows, name: str) -> tuple[list[float], list[float]]:
    order = np.argsort(column(rows, "log_condition"))
    return (10 ** column(rows, "log_condition")[order]).tolist(), column(rows, name)[order].tolist()


def _tabulate(rows: Rows) -> Table:
    columns = (
        Column("κ"),
        Column("problems"),
        Column("largest gap over bound", digits=6),
        Column("at the last step, median"),
        Column("left, median"),
    )
    return Table("Gap of the direction over the bound", columns, [_line(own) for own in _by_condition(rows)])


def _line(own: Rows) -> tuple[float, ...]:
    return (
        10 ** number(own[0], "log_condition"),
        len(own),
        float(np.max(column(own, "over_bound"))),
        float(np.median(column(own, "last_over_bound"))),
        float(np.median(column(own, "left"))),
    )


def _by_condition(rows: Rows) -> list[list[Row]]:
    conditions = dict.fromkeys(row["log_condition"] for row in rows)
    return [where(rows, log_condition=condition) for condition in conditions]


def _verdict(rows: Rows) -> Verdict:
    checks = (_bound_check(rows), _linear_check(rows), _rate_check(rows), _tight_check(rows))
    conditions = column(rows, "log_condition")
    sentence = (
        f"On {len(rows)} random problems with κ from {10 ** conditions.min():.3g} to {10 ** conditions.max():.3g} the "
        f"error of the direction was at most {np.max(column(rows, 'over_bound')):.9f} times Kohler's bound at any step."
    )
    return Verdict(sentence, checks)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _bound_check(rows: Rows) -> Check:
    most = float(np.max(column(rows, "over_bound")))
    return Check(
        f"The gap ρ_t − ρ* is at most {most:.12f} times the bound, over all steps of {len(rows)} problems.",
        _finite(most),
        "times the bound, the largest",
        f"at most 1 + {SLACK:g} (float64)",
        most <= 1 + SLACK,
    )


def _linear_check(rows: Rows) -> Check:
    """Where the bound itself has come down the gap has too."""
    own = [row for row in rows if number(row, "bound_left") < 1e-12]
    most = float(np.max(column(own, "left"))) if own else math.nan
    return Check(
        f"On the {len(own)} problems whose bound is below 10⁻¹² at the end, at most {most:.1g} of the gap is left.",
        _finite(most),
        "of the first gap, the largest",
        "at most 10⁻¹²",
        most <= 1e-12,
    )


def _rate_check(rows: Rows) -> Check:
    """The asymptotic factor by H*, as Cai's; no run is slower at its end."""
    own = [row for row in rows if number(row, "left") <= 1e-12]
    slower = float(np.min(column(own, "decay") / column(own, "theory_decay"))) if own else math.nan
    return Check(
        f"At the end of the {len(own)} runs that came to 10⁻¹² a step takes off at least {slower:.4f} of what "
        "max|1 − λ(H*)/L| allows for.",
        _finite(slower),
        "measured decay over theory's, the least",
        f"never slower by {100 * NEAR:g} %",
        slower >= 1 - NEAR,
        "normfield",
    )


def _tight_check(rows: Rows) -> Check:
    """Whether the bound says something: some problem comes near it."""
    nearest = float(np.max(column(rows, "last_over_bound")))
    return Check(
        f"At the last step the problem nearest to the bound has {nearest:.3g} of it.",
        _finite(nearest),
        "of the bound, the largest at the last step",
        "at least 0.01: somewhere the bound is no more than a factor 100 off",
        nearest >= 0.01,
        "normfield",
    )


STUDY = Study(
    name="kohler-least-squares",
    title="How fast is descent when length and direction are learnt apart?",
    citation="Kohler, Daneshmand, Lucchi, Hofmann, Zhou, Neymeyr 2019, on least squares",
    link="https://arxiv.org/abs/1805.10694",
    claim=(
        "On least squares in normalised parameters, gradient descent with the step wᵀSw/(2L|ρ|) converges linearly: "
        "ρ_t − ρ* ≤ (1 − μ/L)^{2t}(ρ₀ − ρ*)."
    ),
    background=(
        "With batch norm a linear predictor is a·wᵀx/‖w‖_S: a length a, and the direction of w. At the best length the "
        "loss is ½(E y² + ρ(w)) with ρ(w) = −(wᵀg)²/wᵀSw, which is not convex. μ and L are the least and largest "
        "eigenvalue of S = E[xxᵀ], κ = L/μ. Without normalisation the same loss falls at this rate only for the best "
        "learning rate; here the step size needs no choice, since it follows from L."
    ),
    setting=(
        "Random problems: 2 to 20 inputs in random directions, eigenvalues log-uniform between 1 and κ, both ends "
        "included, solution and start normal. Moments are exact; nothing is sampled. The gap ρ_t − ρ* is computed as a "
        "norm, without cancellation, and judged while it is above 10⁻²² of its first value."
    ),
    differences=(
        "The paper proves the bound and shows it on no random problems; these are ours.",
        "The factor by H* is Cai's for gradient descent through batch norm, at the effective step 1/L that these steps "
        "have; the paper has the bound only.",
    ),
    sizes={
        "smoke": Size(
            "5 values of κ up to 10⁸, 6 problems each, 400 steps",
            "2 s on one core",
            Settings((0.2, 1.0, 2.0, 4.0, 8.0), 6, 400),
        ),
        "small": Size(
            "21 values of κ up to 10⁸, 30 problems each, 3,000 steps",
            "about 2 minutes on one core",
            Settings((0.2, *(round(0.4 * k, 1) for k in range(1, 20)), 8.0), 30, 3_000),
        ),
        "paper": Size(
            "80 values of κ up to 10⁸, 100 problems each, 20,000 steps",
            "an hour on one core; not yet run by us",
            Settings(tuple(round(0.1 * k, 1) for k in range(1, 81)), 100, 20_000),
        ),
    },
    points=_points,
    groups=each_alone,
    measure=one_by_one(_measure),
    draw=_draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
