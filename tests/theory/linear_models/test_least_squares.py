"""Least squares: its numbers against plain linear algebra, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import normfield as nf


def random_problem(seed: int, inputs: int = 6, condition: float = 30.0):
    """H with eigenvalues spread geometrically over ``condition`` in random directions, and random g."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.standard_normal((inputs, inputs)))[0]
    hessian = (vectors * np.geomspace(1, condition, inputs)) @ vectors.T
    return nf.LeastSquares((hessian + hessian.T) / 2, hessian @ rng.standard_normal(inputs))


@pytest.mark.parametrize("seed", range(5))
def test_the_projected_spectrum_is_that_of_the_written_out_matrix_and_interlaces(seed):
    problem = random_problem(seed)
    h, u = problem.hessian, np.linalg.solve(problem.hessian, problem.correlation)
    written = h - h @ np.outer(u, u) @ h / (u @ h @ u)
    expected = np.sort(np.linalg.eigvals(written).real)
    np.testing.assert_allclose(expected[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(problem.projected_eigenvalues, expected[1:], rtol=1e-10)
    assert np.all(problem.eigenvalues[:-1] <= problem.projected_eigenvalues)
    assert np.all(problem.projected_eigenvalues <= problem.eigenvalues[1:])
    assert problem.projected_condition_number <= problem.condition_number


def test_the_stated_example_has_its_projected_eigenvalue():
    h = 1 + 99 * np.arange(50) / 49
    problem = nf.LeastSquares(np.diag(h), h / np.sqrt(50))
    assert problem.projected_eigenvalues[-1] == pytest.approx(99.4913, abs=5e-5)
    assert problem.condition_number == pytest.approx(100.0)


def test_a_table_is_centred_and_its_loss_is_the_mean_squared_error():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 4)) + 5.0
    y = x @ [1.0, -2.0, 0.5, 3.0] + 7.0 + rng.standard_normal(200)
    problem = nf.least_squares_problem(x, y)
    with_intercept = np.column_stack([x, np.ones(200)])
    fitted, residual, *_ = np.linalg.lstsq(with_intercept, y, rcond=None)
    np.testing.assert_allclose(problem.minimiser, fitted[:-1], rtol=1e-9)
    assert problem.least_loss == pytest.approx(float(residual[0]) / 200 / 2)
    w = np.array([0.3, 0.1, -0.2, 1.0])
    centred = y - y.mean() - (x - x.mean(axis=0)) @ w
    assert problem.loss(w) == pytest.approx(np.mean(centred**2) / 2)
    assert problem.loss(np.stack([w, 2 * w])).shape == (2,)


def test_what_was_given_is_copied_and_cannot_be_changed_behind_it():
    h = np.eye(3)
    problem = nf.LeastSquares(h, [1.0, 2.0, 3.0])
    h[0, 0] = 100.0
    assert problem.hessian[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        problem.hessian[0, 0] = 2.0


def test_one_input_has_no_projected_eigenvalue_and_is_learnt_at_once():
    problem = nf.LeastSquares([[2.0]], [3.0])
    assert problem.projected_eigenvalues.size == 0
    assert np.isnan(problem.projected_condition_number)
    found = nf.descend(problem, "batch_norm", 0.1, start=[1.0], steps=5)
    assert found.steps_needed == 1
    assert found.weights == pytest.approx([1.5])


MISTAKES = {
    "singular": (
        lambda: nf.LeastSquares([[1.0, 1.0], [1.0, 1.0]], [1.0, 2.0]),
        "a positive definite hessian, got eigenvalues from",
    ),
    "indefinite": (lambda: nf.LeastSquares(np.diag([-1.0, 1.0]), [1.0, 1.0]), "a positive definite hessian"),
    "zero matrix": (lambda: nf.LeastSquares(np.zeros((2, 2)), [1.0, 1.0]), "a positive definite hessian"),
    "not symmetric": (lambda: nf.LeastSquares([[1.0, 0.5], [0.0, 1.0]], [1.0, 1.0]), "a symmetric hessian"),
    "not square": (lambda: nf.LeastSquares(np.ones((2, 3)), [1.0, 1.0]), "hessian as a square matrix"),
    "words": (lambda: nf.LeastSquares([["a"]], [1.0]), "hessian as an array (d, d) of numbers"),
    "nothing to learn": (lambda: nf.LeastSquares(np.eye(2), [0.0, 0.0]), "a correlation of 0, so that u = 0"),
    "other length": (lambda: nf.LeastSquares(np.eye(2), [1.0] * 3), "a correlation of 2 inputs, got 3"),
    "infinite": (lambda: nf.LeastSquares(np.eye(2), [1.0, np.inf]), "finite numbers in correlation, got 1"),
    "table with a constant input": (
        lambda: nf.least_squares_problem([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]], [1.0, 2.0, 3.0]),
        "leave out inputs that are constant",
    ),
    "table with constant targets": (
        lambda: nf.least_squares_problem([[1.0], [2.0]], [3.0, 3.0]),
        "targets that vary",
    ),
    "targets of another length": (
        lambda: nf.least_squares_problem([[1.0], [2.0]], [1.0, 2.0, 3.0]),
        "as many targets as inputs, got 3 and 2",
    ),
    "weights of another length": (lambda: nf.LeastSquares([[1.0]], [1.0]).loss([1.0, 2.0]), "weights (…, 1)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_used_is_refused_in_one_line(name):
    call, words = MISTAKES[name]
    with pytest.raises(nf.InvalidInput) as raised:
        call()
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
