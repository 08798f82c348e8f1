"""Halfspaces: expectations against adaptive quadrature and samples, minima, and GDNP's directions."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, optimize

import normfield as nf
from normfield.theory.linear_models.gaussian_margins import expected_slopes, expected_value


def gaussian_problem(seed, inputs=6, condition=40.0, explained=0.6, loss="logistic"):
    """S of random directions, and g with gᵀS⁻¹g = ``explained``."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.standard_normal((inputs, inputs)))[0]
    s = (vectors * np.geomspace(1, condition, inputs)) @ vectors.T
    s = (s + s.T) / 2
    g = rng.standard_normal(inputs)
    return nf.GaussianHalfspace(s, g * np.sqrt(explained / (g @ np.linalg.solve(s, g))), loss)


def samples_of(problem, count, seed):
    """z ~ N(u, S − uuᵀ)."""
    u = -problem.correlation
    root = np.linalg.cholesky(problem.second_moment - np.outer(u, u))
    return u + np.random.default_rng(seed).standard_normal((count, len(u))) @ root.T


def noisy_table(seed=0, count=400, inputs=4):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, inputs)) * np.arange(1, inputs + 1)
    return x, np.where(x @ np.ones(inputs) + 4 * rng.standard_normal(count) > 0, 1, -1)


@pytest.mark.parametrize("loss", [nf.MarginLoss(), nf.MarginLoss(5.0, 1.0), nf.MarginLoss(0.2)])
@pytest.mark.parametrize("mean", [-3.0, 0.0, 0.7])
@pytest.mark.parametrize("deviation", [0.0, 1e-3, 0.19, 0.21, 1.0, 1.01, 6.0, 300.0])
def test_expectations_are_those_of_adaptive_quadrature(loss, mean, deviation):
    def expected(f):
        if deviation == 0:
            return float(f(mean))
        bends = [float(np.clip((-loss.margin - mean) / deviation, -11.9, 11.9))]
        near = [bends[0] + side * 40 / (loss.sharpness * deviation) for side in (-1, 1)]
        ends = sorted({-12.0, 12.0, *bends, *(end for end in near if abs(end) < 12)})
        density = lambda x: np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
        parts = [
            integrate.quad(lambda x: f(mean + deviation * x) * density(x), a, b, epsabs=1e-14, epsrel=1e-13)
            for a, b in pairwise(ends)
        ]
        return sum(part for part, _ in parts)

    at = (np.array([mean]), np.array([deviation]))
    slope, bend = expected_slopes(loss, *at)
    assert expected_value(loss, *at)[0] == pytest.approx(expected(loss.value), rel=1e-11, abs=1e-13)
    assert slope[0] == pytest.approx(expected(loss.slope), rel=1e-11, abs=1e-13)
    assert bend[0] == pytest.approx(expected(loss.bend), rel=1e-11, abs=1e-13)


def test_the_gaussian_gradient_is_the_difference_quotient_of_the_loss():
    problem = gaussian_problem(1, loss="soft_hinge")
    objective, w = problem.objective, np.random.default_rng(2).standard_normal(6)
    gradient = objective.pull(w[:, None]).gradient[:, 0]
    for k in range(6):
        h = 1e-5 * np.eye(6)[:, [k]]
        difference = (objective.excess(w[:, None] + h) - objective.excess(w[:, None] - h)) / 2e-5
        assert gradient[k] == pytest.approx(difference.item(), rel=1e-6, abs=1e-9)


def test_the_gaussian_loss_is_the_mean_over_samples():
    problem = gaussian_problem(3)
    z = samples_of(problem, 40_000, seed=4)
    w = np.random.default_rng(5).standard_normal(6) / 4
    values = nf.MarginLoss().value(z @ w)
    found = problem.objective.excess(problem.spectrum.inwards(w)[:, None]).item() + problem.least_loss
    assert abs(values.mean() - found) <= 4 * values.std() / np.sqrt(len(values))


@pytest.mark.parametrize("loss", ["logistic", "softplus", "soft_hinge"])
def test_the_minimum_lies_along_least_squares_and_nowhere_lower(loss):
    problem = gaussian_problem(6, loss=loss)
    towards = np.linalg.solve(problem.second_moment, problem.correlation)
    cosine = problem.minimiser @ towards / np.linalg.norm(problem.minimiser) / np.linalg.norm(towards)
    assert cosine == pytest.approx(1.0, abs=1e-12)
    around = np.random.default_rng(7).standard_normal((6, 50)) * 0.1
    at = problem.spectrum.inwards(problem.minimiser)[:, None]
    assert np.all(problem.objective.excess(at + around) > 0)
    assert np.linalg.norm(problem.objective.pull(at).gradient) <= 1e-13


@pytest.mark.parametrize("seed", range(3))
def test_directions_of_normalised_steps_are_those_of_least_squares(seed):
    problem = gaussian_problem(seed, loss="softplus")
    squares = nf.LeastSquares(problem.second_moment, problem.correlation)
    start = np.random.default_rng(seed + 10).standard_normal(6)
    found, expected = (
        nf.descend(one, "normalised", start=start, steps=60, tolerance=1e-8) for one in (problem, squares)
    )
    np.testing.assert_allclose(found.direction_gaps, expected.direction_gaps, rtol=1e-9, atol=1e-26)
    np.testing.assert_allclose(found.norms, expected.norms, rtol=1e-12)
    assert np.all(found.direction_gaps <= found.bounds * (1 + 1e-9) + 1e-24)
    unit, other = (one.weights / np.linalg.norm(one.weights) for one in (found, expected))
    np.testing.assert_allclose(unit, other, rtol=1e-9, atol=1e-11)


def test_each_scale_is_the_best_along_its_direction_to_the_halvings():
    problem = gaussian_problem(2)
    rough, fine = (
        nf.descend(problem, nf.NormalisedSteps(halvings=halvings), start=np.ones(6), steps=3).weights
        for halvings in (4, 60)
    )
    direction = problem.spectrum.inwards(fine)
    best = optimize.minimize_scalar(
        lambda a: problem.objective.excess(a * direction[:, None]).item(), bracket=(0.5, 1.5), tol=1e-12
    )
    assert best.x == pytest.approx(1.0, abs=1e-6)
    ratio = float(np.linalg.norm(rough) / np.linalg.norm(fine))
    assert 1e-12 < abs(ratio - 1) < 2.0**-3
    with pytest.raises(nf.InvalidInput, match="halvings as a whole number"):
        nf.NormalisedSteps(halvings=0)


def test_the_local_rate_of_batch_norm_on_a_gaussian_halfspace():
    problem = gaussian_problem(1)
    found = nf.descend(problem, nf.BatchNormSteps(), np.geomspace(0.3, 30, 6), steps=4_000, tolerance=1e-8)
    assert np.all(found.status == "converged")
    stable = found.effective_steps[-1] < 2 / problem.spectrum.projected(problem.minimiser)[-1]
    assert stable.any()
    np.testing.assert_allclose(found.measured_rates[stable], found.predicted_rates[stable], rtol=0.01)


def test_batch_norm_takes_gradient_steps_of_the_normalised_loss():
    """Against difference quotients of f(a·w/‖w‖_S) in a and w."""
    problem, w, a = gaussian_problem(4), np.linspace(-1, 1, 6) + 0.3, 0.4

    def loss(scale, weights):
        point = scale * weights / np.sqrt(weights @ problem.second_moment @ weights)
        return problem.objective.excess(problem.spectrum.inwards(point)[:, None]).item()

    h = 1e-5
    in_a = (loss(a + h, w) - loss(a - h, w)) / (2 * h)
    in_w = np.array([(loss(a, w + h * e) - loss(a, w - h * e)) / (2 * h) for e in np.eye(6)])
    rule = nf.BatchNormSteps(scale_rate=0.5, start_scale=a)
    found = nf.descend(problem, rule, 3.0, start=w, steps=1)
    moved = w - 3.0 * in_w
    point = (a - 0.5 * in_a) * moved / np.sqrt(moved @ problem.second_moment @ moved)
    np.testing.assert_allclose(found.weights, point, rtol=1e-6)


@pytest.mark.parametrize("loss", ["logistic", "soft_hinge"])
def test_on_samples_the_minimum_is_that_of_another_optimiser(loss):
    x, y = noisy_table()
    problem = nf.halfspace_problem(x, y, loss)
    z = -y[:, None] * x
    phi = problem.loss
    found = optimize.minimize(
        lambda w: phi.value(z @ w).mean(),
        np.zeros(4),
        jac=lambda w: z.T @ phi.slope(z @ w) / len(z),
        tol=1e-12,
    )
    np.testing.assert_allclose(problem.minimiser, found.x, atol=1e-5)
    assert problem.least_loss <= found.fun + 1e-15
    assert np.linalg.norm(z.T @ phi.slope(z @ problem.minimiser) / len(z)) < 1e-12


def test_all_methods_meet_at_the_minimum_of_samples():
    problem = nf.halfspace_problem(*noisy_table())
    runs = [
        nf.descend(problem, "gradient", 0.3, steps=2_000),
        nf.descend(problem, "nesterov", 0.1, steps=3_000),
        nf.descend(problem, "batch_norm", 1.0, steps=3_000),
        nf.descend(problem, "normalised", steps=300),
    ]
    for found in runs:
        np.testing.assert_allclose(found.weights, problem.minimiser, rtol=1e-5, atol=1e-7)
    predicted, measured = runs[0].predicted_rates, runs[0].measured_rates
    assert measured == pytest.approx(predicted, rel=1e-3)


def test_normalised_steps_warn_of_samples_that_are_not_gaussian_with_the_departure():
    rng = np.random.default_rng(0)
    x = rng.standard_t(5, (3_000, 3))
    problem = nf.halfspace_problem(x, x @ np.ones(3) + 3 * rng.standard_normal(3_000) > 0)
    assert problem.departure.kurtosis_errors > 10
    with pytest.warns(UserWarning, match=r"Gaussian inputs, and these are not: kurtosis \d"):
        found = nf.descend(problem, "normalised", steps=50)
    assert problem.caveat in str(found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nf.descend(problem, "batch_norm", 1.0, steps=5)


def test_departures_of_gaussian_samples_are_standard_errors():
    """Mardia's kurtosis has variance 8d(d+2)/n and nd-fold skewness/6 is χ²: 200 repeats of 400 samples."""
    found = [
        nf.SampledHalfspace(samples_of(gaussian_problem(0, inputs=3), 400, seed)).departure
        for seed in range(200)
    ]
    errors = np.array([one.kurtosis_errors for one in found])
    assert abs(errors.mean()) < 0.3  # a bias of order 1/√n
    assert 0.85 < errors.std() < 1.15
    assert abs(np.mean([one.skewness_errors for one in found])) < 0.3
    assert np.mean([one.is_far for one in found]) < 0.03


def test_departures_are_mardias_sums_over_pairs():
    z = noisy_table(count=60, inputs=3)[0]
    found = nf.SampledHalfspace(z + 0.3).departure
    centred = z - z.mean(axis=0)
    pairs = centred @ np.linalg.inv(centred.T @ centred / 60) @ centred.T
    assert found.skewness == pytest.approx(np.mean(pairs**3))
    assert found.kurtosis == pytest.approx(np.mean(np.diag(pairs) ** 2) / 15)
    assert found.gaussian_skewness == pytest.approx(3 * 4 * 5 / 60)


def test_gaussian_samples_need_no_caveat():
    problem = nf.SampledHalfspace(samples_of(gaussian_problem(0, inputs=3), 2_000, 1))
    assert problem.caveat == ""
    found = nf.descend(problem, "normalised", steps=400, tolerance=1e-8)
    assert found.status == "converged"


MISTAKES = {
    "separable": (
        lambda: nf.halfspace_problem([[1.0, 0.2], [2.0, -0.3], [-1.0, 0.1], [-2.0, 0.3]], [1, 1, 0, 0]),
        "classes that no halfspace separates, got 4 samples that one does, wholly or but for ties",
    ),
    "separable but for ties": (
        lambda: nf.halfspace_problem([[1.0, 1.0], [0.0, 1.0], [0.0, 2.0], [0.0, -1.0]], [1, 1, 0, 1]),
        "classes that no halfspace separates",
    ),
    "three classes": (lambda: nf.halfspace_problem(np.eye(3), [0, 1, 2]), "labels of two classes, got 3"),
    "labels of another length": (lambda: nf.halfspace_problem(np.eye(3), [0, 1]), "as many labels as inputs"),
    "no Gaussian": (lambda: nf.GaussianHalfspace(np.eye(2), [1.0, 1.0]), "gᵀS⁻¹g < 1, got 2"),
    "nothing to learn": (lambda: nf.GaussianHalfspace(np.eye(2), [0.0, 0.0]), "so that u = 0"),
    "singular": (
        lambda: nf.GaussianHalfspace(np.ones((2, 2)), [0.1, 0.1]),
        "a positive definite second_moment",
    ),
    "unknown loss": (lambda: nf.GaussianHalfspace(np.eye(2), [0.1, 0.1], "hinge"), "loss as one of logistic"),
    "no sharpness": (lambda: nf.MarginLoss(sharpness=0.0), "sharpness above 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_used_is_refused_in_one_line(name):
    call, words = MISTAKES[name]
    with pytest.raises(nf.InvalidInput) as raised:
        call()
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
