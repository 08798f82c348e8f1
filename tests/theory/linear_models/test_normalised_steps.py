"""Kohler's normalised steps on least squares: the bound, the identity behind it, the closed form of a step."""

from __future__ import annotations

import numpy as np
import pytest

import normfield as nf

# In float64 the bound holds to this share of itself, or of |ρ*| where the gap has reached round-off.
SLACK, ROUND_OFF = 1e-9, 1e-24


def problem_of_condition(rng, condition):
    inputs = int(rng.integers(2, 12))
    vectors = np.linalg.qr(rng.standard_normal((inputs, inputs)))[0]
    values = np.concatenate(([1.0, condition], condition ** rng.random(inputs - 2)))
    hessian = (vectors * values) @ vectors.T
    return nf.LeastSquares((hessian + hessian.T) / 2, hessian @ rng.standard_normal(inputs))


def test_the_bound_holds_on_a_thousand_random_problems():
    rng = np.random.default_rng(0)
    conditions = np.concatenate([[1.5, 1e8], 10 ** rng.uniform(0.1, 8, 998)])
    worst = 0.0
    for condition in conditions:
        problem = problem_of_condition(rng, condition)
        start = rng.standard_normal(len(problem.correlation))
        found = nf.descend(problem, "normalised", start=start, steps=60, records=30)
        allowed = found.bounds * (1 + SLACK) - found.problem.objective.scale * -2 * ROUND_OFF
        assert np.all(found.direction_gaps <= allowed), condition
        worst = max(worst, float(np.max(found.direction_gaps[1:] / allowed[1:])))
    assert worst > 0.5  # and it says something: problems come near it


@pytest.mark.parametrize("condition", [3.0, 1e4, 1e8])
def test_the_identity_of_the_gradient_in_the_dual_norm(condition):
    """‖w‖_S²‖∇ρ‖²_{S⁻¹} = 4|ρ|(ρ − ρ*), with ρ − ρ* as recorded and ∇ρ written out."""
    rng = np.random.default_rng(1)
    problem = problem_of_condition(rng, condition)
    w = rng.standard_normal(len(problem.correlation))
    found = nf.descend(problem, "normalised", start=w, steps=1)
    s, u = problem.hessian, -problem.correlation
    square, along = w @ s @ w, u @ w
    gradient = -2 * along / square * u + 2 * along**2 / square**2 * (s @ w)
    left = square * (gradient @ np.linalg.solve(s, gradient))
    assert left == pytest.approx(4 * along**2 / square * found.direction_gaps[0], rel=1e-6)


def test_a_step_is_that_of_the_stated_step_size():
    """w − η∇ρ with η = wᵀSw/(2L|ρ|), and the best scale."""
    rng = np.random.default_rng(2)
    problem = problem_of_condition(rng, 30.0)
    w = rng.standard_normal(len(problem.correlation))
    s, u, largest = problem.hessian, -problem.correlation, problem.eigenvalues[-1]
    for _ in range(7):
        square, along = w @ s @ w, u @ w
        gradient = -2 * along / square * u + 2 * along**2 / square**2 * (s @ w)
        w, start = w - square / (2 * largest * along**2 / square) * gradient, w
        found = nf.descend(problem, "normalised", start=start, steps=1)
        assert found.norms[-1] == pytest.approx(np.linalg.norm(w))
        best = (w @ problem.correlation) / (w @ s @ w) * w
        np.testing.assert_allclose(found.weights, best, rtol=1e-9, atol=1e-12)


def test_the_bound_and_the_gap_are_drawn():
    found = nf.descend(problem_of_condition(np.random.default_rng(3), 10.0), "normalised", steps=50)
    gap, bound = found.plot_bound().data
    assert np.all(np.array(gap.y[:10]) <= np.array(bound.y[:10]) * (1 + SLACK))


def test_equal_eigenvalues_are_learnt_in_one_step():
    problem = nf.LeastSquares(2 * np.eye(3), [1.0, 2.0, 3.0])
    found = nf.descend(problem, "normalised", start=[1.0, 0.0, 0.0], steps=2)
    assert found.direction_gaps[1] <= 1e-28
    assert found.bounds[0] == found.direction_gaps[0]
    assert found.bounds[1] == 0.0
