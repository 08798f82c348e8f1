"""Studies of linear models: their problems and counts beside formulas written anew, verdicts at their thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest

import normfield as nf
from normfield.studies import cai_learning_rates as cai
from normfield.studies import kohler_halfspaces as halfspaces
from normfield.studies import kohler_least_squares as squares
from normfield.studies.linear_models.tables import digit_components


def test_components_of_the_digits_are_uncorrelated_falling_and_of_mean_variance_one():
    components, labels = digit_components(10)
    covariance = np.cov(components.T, bias=True)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9)
    assert np.all(np.diff(np.diag(covariance)) < 0)
    assert np.mean(np.diag(covariance)) == pytest.approx(1.0)
    assert 0.4 < labels.mean() < 0.6


def row(log_rate, needed, left=0.0, **more):
    return {"log_rate": log_rate, "steps_needed": needed, "left": left} | more


def test_the_stretch_that_works_ends_at_the_first_rate_that_does_not():
    rows = [
        row(-2, 900),
        row(-1, 1001),
        row(0, 500),
        row(1, 100),
        row(2, 1000),
        row(3, 101, left=1.0),
        row(4, 200),
    ]
    assert [one["log_rate"] for one in cai._works(rows)] == [0, 1, 2]
    assert cai._decades(rows) == 2.0
    assert math.isnan(cai._decades([row(0, 5, left=1.0)]))


def normed(log_rate, measured, effective=1.0, **more):
    return row(log_rate, 100, local=1, predicted=0.9, measured=measured, effective=effective, **more)


@pytest.mark.parametrize(
    ("measured", "held"),
    [
        ([0.9] * 10, True),
        ([0.9] * 9 + [0.85], True),  # one start without the slowest direction
        ([0.9] * 8 + [0.85] * 2, False),
        ([0.9] * 9 + [0.91], False),  # slower than theory
    ],
)
def test_the_check_of_local_rates(measured, held):
    rows = [normed(k, value) for k, value in enumerate(measured)]
    assert cai._rate_check(rows).held is held


def test_runs_above_the_limit_are_not_judged_by_their_local_rate():
    rows = [normed(0, 0.9), normed(1, 0.5, effective=2.1)]
    assert cai._rate_check(rows).held


@pytest.mark.parametrize(("effective", "held"), [(1.99, True), (2.0, True), (2.1, False), (math.nan, False)])
def test_the_check_of_effective_steps(effective, held):
    assert cai._stable_check([row(0, 1, effective=effective, diverged=0)]).held is held


def test_plain_runs_must_diverge_above_the_limit_and_only_judged_there():
    def plain(effective, diverged):
        return row(0, 1, largest_effective=None if diverged else effective, diverged=int(diverged))

    assert cai._divergence_check([plain(1.9, False), plain(2.1, True)]).held
    assert not cai._divergence_check([plain(1.9, False), plain(2.1, False)]).held
    assert not cai._divergence_check([plain(1.9, False)]).held


@pytest.mark.parametrize("log_condition", [0.2, 4.0, 8.0])
def test_random_problems_have_the_condition_asked_for(log_condition):
    problem = squares.random_problem(log_condition, np.random.default_rng(1))
    assert math.log10(problem.condition_number) == pytest.approx(log_condition, abs=1e-3)


def test_the_gap_over_the_bound_is_that_of_written_out_steps():
    settings = squares.Settings((2.0,), 1, 30)
    point = squares._points(settings, 5)[0]
    found = squares._measure(settings, point)
    rng = np.random.default_rng((5, 2000, 0))
    problem = squares.random_problem(2.0, rng)
    s, g, w = problem.hessian, problem.correlation, rng.standard_normal(len(problem.correlation))
    largest, least = problem.eigenvalues[-1], g @ np.linalg.solve(s, g)
    gaps = []
    for _ in range(31):
        gaps.append(least - (w @ g) ** 2 / (w @ s @ w))
        w = w + ((w @ s @ w) / (w @ g) * g - s @ w) / largest
    bounds = gaps[0] * (1 - 1 / problem.condition_number) ** (2 * np.arange(31))
    assert found["over_bound"] == pytest.approx(max(np.array(gaps[1:]) / bounds[1:]), rel=1e-6)
    assert found["last_over_bound"] == pytest.approx(gaps[-1] / bounds[-1], rel=1e-6)


def test_gaussian_halfspaces_have_the_condition_and_half_explained():
    problem = halfspaces.gaussian_halfspace(30.0, 6, seed=2)
    assert problem.spectrum.condition_number == pytest.approx(30.0)
    g = problem.correlation
    assert g @ np.linalg.solve(problem.second_moment, g) == pytest.approx(0.5)


def test_steps_are_those_of_the_best_learning_rate():
    problem = halfspaces.gaussian_halfspace(10.0, 4, seed=0)
    settings, start = halfspaces.Settings((10.0,), 1, 4, 400, 5), np.full(4, 0.5)
    found = halfspaces._row(problem, halfspaces.PLAIN, start, settings)
    rates = np.geomspace(0.1, 1e3, 5) / problem.spectrum.eigenvalues[-1]
    needed = [
        nf.descend(problem, "gradient", rate, start=start, steps=400, tolerance=1e-8).steps_needed
        for rate in rates
    ]
    assert found["steps_needed"] == min(needed)
    assert found["rates_that_reach"] == sum(math.isfinite(one) for one in needed)


@pytest.mark.parametrize(("over", "held"), [(0.9, True), (1.0, True), (1.001, False), (math.nan, False)])
def test_the_checks_of_the_bound(over, held):
    assert halfspaces._bound_check([{"over_bound": over}]).held is held
    assert squares._bound_check([{"over_bound": over}]).held is held
