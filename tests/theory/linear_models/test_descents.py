"""Descents on least squares: Cai's and Kohler's theorems, the stated values, and a plain loop as an oracle."""

from __future__ import annotations

import json

import numpy as np
import pytest

import normfield as nf

RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0])


def stated_problem():
    """The example that is fully stated: d = 50, eigenvalues 1 to 100, and its start."""
    h = 1 + 99 * np.arange(50) / 49
    start = np.arange(1.0, 51.0)
    return nf.LeastSquares(np.diag(h), h / np.sqrt(50)), start / np.linalg.norm(start)


def random_problem(seed: int, inputs: int = 5, condition: float = 20.0):
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.standard_normal((inputs, inputs)))[0]
    hessian = (vectors * np.geomspace(1, condition, inputs)) @ vectors.T
    return nf.LeastSquares((hessian + hessian.T) / 2, hessian @ rng.standard_normal(inputs))


def written_out(problem, rate, w, steps, a=0.0, scale_rate=1.0):
    """Cai's two lines in the original coordinates; (a, w, ε̂) after each step."""
    h, g, found = problem.hessian, problem.correlation, []
    for _ in range(steps):
        s2 = w @ h @ w
        effective = rate * a / np.sqrt(s2) * (w @ g) / s2
        moved = w + rate * a / np.sqrt(s2) * (g - (w @ g) / s2 * (h @ w))
        a, w = a + scale_rate * (w @ g / np.sqrt(s2) - a), moved
        found.append((a, w, effective))
    return found


def rounded(values, digits):
    return [round(float(value), places) for value, places in zip(values, digits, strict=True)]


@pytest.mark.parametrize(("rate", "scale_rate", "a"), [(0.03, 1.0, 0.0), (1.0, 0.5, 0.3), (30.0, 0.9, -2.0)])
def test_batch_norm_takes_the_steps_of_the_two_lines(rate, scale_rate, a):
    problem, start = random_problem(1), np.array([1.0, -0.5, 0.2, 2.0, 0.1])
    rule = nf.BatchNormSteps(scale_rate=scale_rate, start_scale=a)
    found = nf.descend(problem, rule, rate, start=start, steps=30)
    expected = written_out(problem, rate, start, 30, a, scale_rate)
    scale, w, _ = expected[-1]
    np.testing.assert_allclose(found.weights, scale * w / np.sqrt(w @ problem.hessian @ w), rtol=1e-10)
    assert found.recorded_steps.tolist() == list(range(31))
    np.testing.assert_allclose(found.norms[1:], [np.linalg.norm(w) for _, w, _ in expected], rtol=1e-10)
    np.testing.assert_allclose(found.effective_steps[1:], [e for *_, e in expected], rtol=1e-9, atol=1e-13)
    predictors = [scale * w / np.sqrt(w @ problem.hessian @ w) for scale, w, _ in expected]
    np.testing.assert_allclose(found.losses[1:], problem.loss(np.array(predictors)), rtol=1e-9, atol=1e-14)


def test_the_other_methods_take_their_textbook_steps():
    problem, start = random_problem(2), np.array([1.0, -0.5, 0.2, 2.0, 0.1])

    def gradient(w):
        return problem.hessian @ w - problem.correlation

    plain = ball = fast = start
    before_ball = before_fast = start
    for t in range(1, 21):
        plain = plain - 0.02 * gradient(plain)
        ball, before_ball = ball - 0.02 * gradient(ball) + 0.5 * (ball - before_ball), ball
        v = fast + (t - 1) / (t + 2) * (fast - before_fast)
        fast, before_fast = v - 0.02 * gradient(v), fast
    settings = {"start": start, "steps": 20}
    np.testing.assert_allclose(nf.descend(problem, "gradient", 0.02, **settings).weights, plain)
    np.testing.assert_allclose(
        nf.descend(problem, nf.HeavyBallSteps(momentum=0.5), 0.02, **settings).weights, ball
    )
    np.testing.assert_allclose(nf.descend(problem, "nesterov", 0.02, **settings).weights, fast)


@pytest.mark.long
def test_the_stated_effective_steps_after_two_hundred_thousand_steps():
    problem, start = stated_problem()
    found = nf.descend(problem, "batch_norm", RATES, start=start, steps=200_000)
    given = [0.0100, 0.0997, 0.9700, 0.9560, 0.5862, 0.07425]
    shown = found.effective_steps[-1] * 100
    np.testing.assert_array_equal(rounded(shown, [4, 4, 4, 4, 4, 5]), given)
    assert np.all(found.status == "converged")  # to 1e−10 of the loss at 0


def test_the_stated_effective_steps_where_they_settle_early():
    problem, start = stated_problem()
    found = nf.descend(problem, "batch_norm", RATES[2:], start=start, steps=20_000)
    np.testing.assert_array_equal(
        rounded(found.effective_steps[-1] * 100, [4, 4, 4, 5]), [0.9700, 0.9560, 0.5862, 0.07425]
    )
    assert found.plateau.best in RATES


def test_plain_descent_diverges_above_two_over_the_largest_eigenvalue():
    problem, start = stated_problem()
    limit = 2 / problem.eigenvalues[-1]
    found = nf.descend(problem, "gradient", [0.98 * limit, 1.02 * limit], start=start, steps=1_000)
    assert found.status.tolist() == ["converged", "diverged"]


def test_over_sixteen_decades_norms_never_fall_and_effective_steps_become_stable():
    problem, start = stated_problem()
    rates = np.geomspace(1e-8, 1e8, 65)
    found = nf.descend(problem, "batch_norm", rates, start=start, steps=400)
    assert np.all(found.least_norm_growth >= -1e-14)
    assert np.all(np.isfinite(found.excess_losses))
    assert np.all(found.settled_from < 20)
    late = found.recorded_steps >= found.settled_from.max()
    assert np.all(found.effective_steps[late] * problem.eigenvalues[-1] < 2)


@pytest.mark.parametrize("rate", np.geomspace(1e-8, 1e8, 17))
def test_the_error_contracts_by_exactly_one_minus_effective_step_times_h(rate):
    """u − (wᵀg/σ²)w⁺ = (1 − ε̂H)e with e = u − (wᵀg/σ²)w; the weights after k steps are the start of the next."""
    problem, w = random_problem(3), np.array([1.0, -0.5, 0.2, 2.0, 0.1])
    h, g, u = problem.hessian, problem.correlation, problem.minimiser
    scale = 0.0
    for _ in range(12):
        state = one_step(problem, rate, w, scale)
        along = w @ g / (w @ h @ w)
        e = u - along * w
        left, right = u - along * state["w"], e - state["effective"] * (h @ e)
        size = np.linalg.norm(u) + state["effective"] * np.linalg.norm(h) * np.linalg.norm(u)
        assert np.linalg.norm(left - right) <= 1e-13 * size
        w, scale = state["w"], state["scale"]


def one_step(problem, rate, w, scale):
    """One step of the package's rule, read from its weights, norms and effective step."""
    from normfield.theory.linear_models.objectives.quadratic import Quadratic

    values, vectors = np.linalg.eigh(problem.hessian)
    objective = Quadratic(values, vectors.T @ problem.correlation)
    rule, rates = nf.BatchNormSteps(start_scale=scale), np.array([rate])
    state = rule.begin(objective, (vectors.T @ w)[:, None], rates)
    after = rule.advance(objective, state, rates, 1)
    return {
        "w": vectors @ after.direction[:, 0],
        "effective": float(after.effective[0]),
        "scale": float(after.scale[0]),
    }


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_weights_and_learning_rate_scale_together(factor):
    """(a₀, r w₀, r²ε) gives the same a_k, so the same predictors."""
    problem, start = random_problem(4), np.array([0.3, -0.5, 0.2, 0.4, 0.1])
    settings = {"steps": 50}
    one = nf.descend(problem, "batch_norm", 0.7, start=start, **settings)
    other = nf.descend(problem, "batch_norm", factor**2 * 0.7, start=factor * start, **settings)
    np.testing.assert_allclose(other.weights, one.weights, rtol=1e-12)
    np.testing.assert_allclose(other.norms, factor * one.norms, rtol=1e-12)
    np.testing.assert_allclose(other.effective_steps, one.effective_steps, rtol=1e-10)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_it_converges_to_ten_digits_from_ten_to_the_minus_four_to_ten(seed):
    """‖w̃ − u‖_H to ten digits; a problem of condition 20, whose slowest end needs its steps."""
    found = nf.descend(random_problem(seed), "batch_norm", RATES, steps=130_000, seed=seed, tolerance=1e-20)
    assert np.all(found.excess_losses[-1] <= 1e-20 * found.problem.objective.scale)


@pytest.mark.parametrize("seed", range(6))
def test_the_measured_local_rate_is_the_predicted_one(seed):
    problem = random_problem(seed, inputs=8, condition=50.0)
    rates = np.geomspace(1e-3, 100, 40)
    found = nf.descend(problem, "batch_norm", rates, steps=20_000, seed=seed)
    stable = found.effective_steps[-1] < 2 / problem.projected_eigenvalues[-1]
    seen = stable & np.isfinite(found.measured_rates)
    assert seen.sum() >= 20
    np.testing.assert_allclose(found.measured_rates[seen], found.predicted_rates[seen], rtol=0.01)


def test_a_slow_scale_bounds_the_rate_from_below():
    problem = random_problem(0, condition=1.5)
    found = nf.descend(problem, nf.BatchNormSteps(scale_rate=0.05), [0.3, 1.0, 3.0], steps=2_000)
    np.testing.assert_allclose(found.predicted_rates, np.maximum(found.predicted_rates, 0.95))
    np.testing.assert_allclose(found.measured_rates, found.predicted_rates, rtol=0.01)
    assert np.any(found.predicted_rates == 0.95)


@pytest.mark.parametrize(
    ("rule", "largest"),
    [("gradient", 2.0), (nf.HeavyBallSteps(0.6), 2 * 1.6), (nf.NesterovSteps(0.6), 2 * 1.6 / 2.2)],
)
def test_rates_of_methods_without_a_norm(rule, largest):
    """The predicted rate passes 1 at each method's limit, and below it is what is measured."""
    problem, start = stated_problem()
    limit = largest / problem.eigenvalues[-1]
    edge = nf.descend(problem, rule, [limit * (1 - 1e-9), limit * (1 + 1e-6)], start=start, steps=2)
    assert edge.predicted_rates[0] < 1 < edge.predicted_rates[1]
    found = nf.descend(problem, rule, limit * np.array([0.05, 0.1, 0.3, 0.6]), start=start, steps=20_000)
    np.testing.assert_allclose(found.measured_rates, found.predicted_rates, rtol=0.01)


def test_several_starts_and_rates_are_those_of_single_runs():
    problem = random_problem(5)
    together = nf.descend(problem, "batch_norm", [0.1, 1.0, 10.0], seed=[3, 4], steps=1_000)
    assert together.steps_needed.shape == (2, 3)
    assert together.losses.shape == (len(together.recorded_steps), 2, 3)
    alone = nf.descend(problem, "batch_norm", 1.0, seed=4, steps=1_000)
    np.testing.assert_allclose(together.weights[1, 1], alone.weights, rtol=1e-10)
    assert isinstance(alone.steps_needed, float)
    assert together.plateau.low <= together.plateau.best <= together.plateau.high


def test_drawing_a_start_leaves_the_global_random_state_and_repeats():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = (nf.descend(random_problem(0), "batch_norm", 1.0, seed=8, steps=10) for _ in range(2))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(one.weights, other.weights)


def test_what_a_descent_shows():
    problem, start = stated_problem()
    found = nf.descend(problem, "batch_norm", RATES, start=start, steps=500)
    frame = found.to_frame()
    assert len(frame) == 6
    assert set(frame["status"]) <= {"converged", "running"}
    read = json.loads(found.to_json())
    assert read["runs"][0]["steps_needed"] is None
    assert read["runs"][0]["steps_needed_reason"] == "infinite"
    assert "batch norm on least squares of 50 inputs: κ = 100" in str(found)
    assert len(found.plot().data) == 6
    (drawn,) = found.plot_effective_steps().data
    np.testing.assert_allclose(drawn.y, np.abs(found.effective_steps[-1]) * 100)


def test_without_a_row_of_learning_rates_there_is_no_plateau():
    found = nf.descend(random_problem(0), "batch_norm", 1.0, steps=10)
    with pytest.raises(nf.InvalidInput, match="a row of learning rates for a plateau, got one"):
        _ = found.plateau


MISTAKES = {
    "stationary start": ({"start": [0.0, 1.0]}, "wᵀg = 0, a stationary point"),
    "no direction": ({"start": [0.0, 0.0]}, "a start other than 0"),
    "start of another length": ({"start": [1.0]}, "a start of 2 weights, got 1"),
    "unknown method": ({"method": "adam"}, "method as one of batch_norm"),
    "no learning rate": ({"learning_rates": None}, "learning_rates for batch norm, got none"),
    "negative learning rate": ({"learning_rates": [0.1, -1.0]}, "learning_rates above 0, got -1"),
    "a rate for GDNP": ({"method": "normalised"}, "no learning rate for normalised steps"),
    "half a step": ({"steps": 0.5}, "steps as a whole number"),
    "no seed": ({"seed": []}, "at least one seed"),
    "a tolerance above 1": ({"tolerance": 2.0}, "tolerance above 0 and at most 1"),
    "another problem": ({"problem": "digits"}, "a problem of a linear model, got str"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_used_is_refused_in_one_line(name):
    changed, words = MISTAKES[name]
    given = {"problem": nf.LeastSquares(np.eye(2), [1.0, 0.0]), "learning_rates": 0.1, "steps": 3} | changed
    with pytest.raises(nf.InvalidInput) as raised:
        nf.descend(given.pop("problem"), **given)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_scale_of_its_own_leaves_a_start_at_right_angles_to_the_correlation():
    problem = nf.LeastSquares(np.diag([1.0, 2.0]), [1.0, 0.0])
    found = nf.descend(problem, nf.BatchNormSteps(start_scale=1.0), 0.5, start=[0.0, 1.0], steps=500)
    assert found.status == "converged"


@pytest.mark.parametrize(("rule", "value"), [(nf.HeavyBallSteps, 1.0), (nf.NesterovSteps, -0.1)])
def test_momentum_outside_its_range_is_refused(rule, value):
    with pytest.raises(nf.InvalidInput, match=r"momentum in \[0, 1\)"):
        rule(momentum=value)


@pytest.mark.parametrize("value", [0.0, 1.5, float("nan")])
def test_a_scale_rate_outside_its_range_is_refused(value):
    with pytest.raises(nf.InvalidInput, match="scale_rate"):
        nf.BatchNormSteps(scale_rate=value)
