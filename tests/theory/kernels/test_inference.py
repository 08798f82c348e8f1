"""Regression with kernels of infinitely wide networks: Gaussian conditioning, gradient flow, networks in NumPy."""

import numpy as np
import pytest
from scipy.linalg import expm

import normfield as nf
from normfield.errors import InvalidInput
from normfield.theory.kernels.posterior import nngp_posterior, ntk_posterior

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((15, 12))
Y = np.sin(X[:, 0]) + 0.3 * X[:, 1]
FIRST = 10


def covariance_of(size, rank, seed):
    root = np.random.default_rng(seed).standard_normal((size, rank))
    return root @ root.T / rank


def test_nngp_is_conditioning_of_one_gaussian():
    """Precision of the joint Gaussian: the mean solves Λ₂₂m = −Λ₂₁y, the covariance is Λ₂₂⁻¹."""
    nngp, y = covariance_of(7, 20, 1), np.arange(4.0)
    noisy = nngp + np.diag([0.3] * 4 + [0.0] * 3)
    precision = np.linalg.inv(noisy)
    found = nngp_posterior(nngp, y, 0.3, 0.0)
    expected = np.linalg.inv(precision[4:, 4:])
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-10)
    np.testing.assert_allclose(found.mean, -expected @ precision[4:, :4] @ y, rtol=1e-10)
    assert found.left_out == 0


def test_ntk_is_where_gradient_flow_from_random_functions_ends():
    """f_t = f_0 − Θ_*Θ⁻¹(1 − e^{−Θt})(f_0 − y), f_0 ~ N(0, K): mean and covariance of a linear map of f_0."""
    nngp, ntk, y = covariance_of(7, 20, 1), covariance_of(7, 20, 2), np.arange(4.0)
    train, across = ntk[:4, :4], ntk[4:, :4]
    left = across @ np.linalg.solve(train, np.eye(4) - expm(-1e4 * train))
    moved = np.concatenate([-left, np.eye(3)], axis=1)
    found = ntk_posterior(nngp, ntk, y, 0.0, 0.0)
    np.testing.assert_allclose(found.mean, left @ y, rtol=1e-9)
    np.testing.assert_allclose(found.covariance, moved @ nngp @ moved.T, rtol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_singular_kernels_are_solved_in_their_range(noise):
    """y along a direction without kernel is not fitted; the ridge tends to the same as it vanishes."""
    ntk = covariance_of(8, 3, 3)
    y = np.random.default_rng(4).standard_normal((5, 2))
    found = ntk_posterior(ntk, ntk, y, noise, 1e-12)
    ridge = noise or 1e-9
    expected = ntk[5:, :5] @ np.linalg.solve(ntk[:5, :5] + ridge * np.eye(5), y)
    np.testing.assert_allclose(found.mean, expected, atol=1e-6)
    assert found.left_out == (0 if noise else 2)
    null = np.linalg.svd(ntk[:5, :5])[0][:, 3:]
    if not noise:
        assert found.unexplained == pytest.approx(np.sum((null.T @ y) ** 2) / np.sum(y**2))
        assert np.abs(found.covariance).max() < 1e-10  # three directions fix the rest


@pytest.mark.parametrize("kernel", ["nngp", "ntk"])
@pytest.mark.parametrize("statistics", ["batch", "population"])
def test_the_door_puts_the_kernels_into_the_formulas(kernel, statistics):
    net = nf.mlp(12, 300, 3, 1)
    found = nf.kernel_regression(net, X[:FIRST], Y[:FIRST], X[FIRST:], kernel, statistics, noise=0.1)
    joint = nf.cross_batch_kernel(net, X[:FIRST], X[FIRST:], statistics)
    solved = joint.nngp if kernel == "nngp" else joint.ntk
    weights = solved[FIRST:, :FIRST] @ np.linalg.inv(solved[:FIRST, :FIRST] + 0.1 * np.eye(FIRST))
    np.testing.assert_allclose(found.mean, weights @ Y[:FIRST], rtol=1e-6)
    both = np.concatenate([-weights, np.eye(5)], axis=1)
    noisy = joint.nngp + 0.1 * np.diag([kernel == "nngp"] * FIRST + [0] * 5)
    np.testing.assert_allclose(found.covariance, both @ noisy @ both.T, atol=1e-6)
    np.testing.assert_allclose(found.standard_deviation**2, np.diagonal(found.covariance))


def test_a_training_sample_is_recalled_where_it_borrows_the_batchs_statistics():
    net = nf.mlp(12, 300, 3, 1)
    for kernel in ("nngp", "ntk"):
        found = nf.kernel_regression(net, X[:FIRST], Y[:FIRST], X[2:4], kernel, "population")
        np.testing.assert_allclose(found.mean, Y[2:4], atol=1e-5)
        assert found.standard_deviation.max() < 1e-3
        apart = nf.kernel_regression(net, X[:FIRST], Y[:FIRST], X[2:6], kernel, "batch")
        assert apart.standard_deviation.min() > 0.1  # in another batch it is another input


def test_a_plain_linear_network_is_bayesian_linear_regression():
    """f = w·x/√12·σ + b: the posterior over (w, b) by its normal equations."""
    net = nf.Network((12,), [nf.Dense(1)], weight_variance=1.5, bias_variance=0.4)
    found = nf.kernel_regression(net, X[:FIRST], Y[:FIRST], X[FIRST:], "nngp", noise=0.2)
    design = np.concatenate([X * np.sqrt(1.5 / 12), np.full((15, 1), np.sqrt(0.4))], axis=1)
    precision = np.eye(13) + design[:FIRST].T @ design[:FIRST] / 0.2
    mean = np.linalg.solve(precision, design[:FIRST].T @ Y[:FIRST]) / 0.2
    np.testing.assert_allclose(found.mean, design[FIRST:] @ mean, rtol=1e-9)
    expected = design[FIRST:] @ np.linalg.solve(precision, design[FIRST:].T)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9)


def features(statistics, width, generator, eps):
    """Last hidden activations of a random ReLU network of depth 3 with batch norm."""
    h = X
    for _ in range(2):
        weights = generator.standard_normal((h.shape[1], width)) * np.sqrt(2 / h.shape[1])
        z = h @ weights + np.sqrt(0.5) * generator.standard_normal(width)
        parts = (z[:FIRST], z[FIRST:])
        sources = parts if statistics == "batch" else (z[:FIRST], z[:FIRST])
        u = [(p - s.mean(0)) / np.sqrt(s.var(0) + eps) for p, s in zip(parts, sources, strict=True)]
        h = np.maximum(np.concatenate(u), 0)
    return h


@pytest.mark.parametrize("statistics", ["batch", "population"])
def test_ridge_on_the_last_layer_of_wide_networks(statistics):
    """The last layer's weights are Gaussian: given the features, its posterior is ridge regression."""
    width, eps, noise = 1000, 1e-2, 0.1
    layers = [nf.Dense(width), nf.BatchNorm(eps=eps), nf.Activation("relu")] * 2
    net = nf.Network((12,), [*layers, nf.Dense(1)])
    found = nf.kernel_regression(net, X[:FIRST], Y[:FIRST], X[FIRST:], "nngp", statistics, noise=noise)
    generator, means, spreads = np.random.default_rng(5), [], []
    for _ in range(24):
        h = features(statistics, width, generator, eps)
        prior = 2 * h @ h.T / width + 0.5
        inverse = np.linalg.inv(prior[:FIRST, :FIRST] + noise * np.eye(FIRST))
        means.append(prior[FIRST:, :FIRST] @ inverse @ Y[:FIRST])
        spreads.append(
            np.diagonal(prior[FIRST:, FIRST:] - prior[FIRST:, :FIRST] @ inverse @ prior[:FIRST, FIRST:])
        )
    for value, drawn in ((found.mean, means), (found.standard_deviation**2, spreads)):
        error = np.std(drawn, axis=0, ddof=1) / np.sqrt(len(drawn))
        assert np.all(np.abs(value - np.mean(drawn, axis=0)) < 4 * error + 10 / width * np.abs(value))
        assert np.all(4 * error + 10 / width * np.abs(value) < 0.3)


def test_several_outputs_and_permutations():
    net = nf.mlp(12, 300, 2, 3)
    targets = GENERATOR.standard_normal((FIRST, 3))
    found = nf.kernel_regression(net, X[:FIRST], targets, X[FIRST:])
    one = nf.kernel_regression(nf.mlp(12, 300, 2, 1), X[:FIRST], targets[:, 1], X[FIRST:])
    np.testing.assert_allclose(found.mean[:, 1], one.mean, rtol=1e-9)
    order, back = np.array([4, 2, 0, 1, 3]), np.random.default_rng(1).permutation(FIRST)
    permuted = nf.kernel_regression(net, X[:FIRST][back], targets[back], X[FIRST:][order])
    np.testing.assert_allclose(permuted.mean, found.mean[order], atol=1e-5)
    assert found.mean_squared_error(found.mean + 2) == pytest.approx(4)


def test_the_result_shows_itself():
    found = nf.kernel_regression(nf.mlp(12, 300, 2, 1), X[:FIRST], Y[:FIRST], X[FIRST:], "nngp")
    assert str(found).startswith(
        "NNGP regression from 10 to 5 samples with their own statistics (exact): standard"
    )
    assert list(found.to_frame().columns) == ["sample", "output", "mean", "standard_deviation"]
    assert len(found.to_frame()) == 5
    assert '"kernel": "nngp"' in found.to_json()
    linear = nf.Network((12,), [nf.Dense(9), nf.BatchNorm(), nf.Dense(1)], bias_variance=0.0)
    singular = nf.kernel_regression(linear, X[:FIRST], Y[:FIRST], X[FIRST:], "nngp")
    assert singular.left_out == 1  # a batch's normalised values add up to 0
    assert singular.unexplained == pytest.approx(
        FIRST * Y[:FIRST].mean() ** 2 / np.sum(Y[:FIRST] ** 2), abs=1e-6
    )
    assert "the kernel vanishes in 1 of 10 directions" in str(singular)


def test_an_infinite_tangent_kernel_predicts_nothing_and_says_so():
    net = nf.Network((2,), [nf.Dense(9), nf.BatchNorm(eps=0.0), nf.Activation("relu"), nf.Dense(1)])
    given = (net, X[:FIRST, :2], Y[:FIRST], X[FIRST:, :2])
    with pytest.raises(nf.NumericalFailure, match=r"^diverges: "):
        nf.kernel_regression(*given)
    found = nf.kernel_regression(*given, on_failure="return")
    assert np.all(np.isnan(found.mean))
    assert found.status.startswith("diverges: ")
    assert '"status": "diverges' in found.to_json()
    assert '"mean": null' in found.to_json()
    nngp = nf.kernel_regression(*given, kernel="nngp")  # needs no gradients
    assert nngp.status == "converged"
    assert np.all(np.isfinite(nngp.mean))


def test_bad_input_is_refused_in_one_line():
    net, ten = nf.mlp(12, 300, 2, 1), nf.mlp(12, 300, 2, 10)
    with pytest.raises(InvalidInput, match='expected kernel "nngp" or "ntk", got \'rbf\''):
        nf.kernel_regression(net, X, Y, X, "rbf")
    with pytest.raises(InvalidInput, match=r"expected a finite noise of at least 0, got -1"):
        nf.kernel_regression(net, X, Y, X, noise=-1)
    with pytest.raises(
        InvalidInput, match=r"shape \(B, 10\), got shape \(15,\); give labels as one-hot rows"
    ):
        nf.kernel_regression(ten, X, Y, X)
    with pytest.raises(
        InvalidInput, match="expected one target for each training sample, got 15 for 10 samples"
    ):
        nf.kernel_regression(net, X[:FIRST], Y, X)
    with pytest.raises(InvalidInput, match="expected finite targets, got NaN or infinity"):
        nf.kernel_regression(net, X, np.full(15, np.nan), X)
    with pytest.raises(InvalidInput, match="expected targets as numbers, got list"):
        nf.kernel_regression(net, X, ["a"] * 15, X)
    with pytest.raises(InvalidInput, match=r"expected targets of shape \(5,\), got shape \(3,\)"):
        nf.kernel_regression(net, X[:FIRST], Y[:FIRST], X[FIRST:]).mean_squared_error([1.0, 2.0, 3.0])
