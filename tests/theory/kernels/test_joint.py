"""Kernels of two batches through whole networks: layer by layer by hand, networks in NumPy, limits with depth."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

import normfield as nf
from normfield.errors import InvalidInput, NumericalFailure

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((13, 20))
FIRST = 8


def network(*layers, **options):
    return nf.Network((20,), [*layers, nf.Dense(1)], **options)


def block(kernel):
    return kernel[:FIRST, :FIRST], kernel[FIRST:, FIRST:]


@pytest.mark.parametrize("method", ["exact", "concentrated", "auto"])
def test_each_batch_by_itself_has_the_kernel_of_one_batch(method):
    net = nf.mlp(20, 300, 3, 1, gamma=0.7)
    found = nf.cross_batch_kernel(net, X[:FIRST], X[FIRST:], method=method)
    for batch, nngp, ntk in zip((X[:FIRST], X[FIRST:]), block(found.nngp), block(found.ntk), strict=True):
        own = nf.batch_kernel(net, batch, method=method)
        np.testing.assert_allclose(nngp, own.nngp, rtol=1e-6)
        np.testing.assert_allclose(ntk, own.ntk, atol=1e-6 * own.ntk.max())


def test_a_batch_keeps_its_kernel_beside_samples_that_borrow_its_statistics():
    net = nf.mlp(20, 300, 3, 1, gamma=0.7)
    found = nf.cross_batch_kernel(net, X[:FIRST], X[FIRST:], "population")
    own = nf.batch_kernel(net, X[:FIRST])
    np.testing.assert_allclose(found.nngp[:FIRST, :FIRST], own.nngp, rtol=1e-6)
    np.testing.assert_allclose(found.ntk[:FIRST, :FIRST], own.ntk, atol=1e-6 * own.ntk.max())


def test_a_sample_that_borrows_from_its_own_batch_equals_itself():
    net = nf.mlp(20, 300, 3, 1)
    found = nf.cross_batch_kernel(net, X[:FIRST], X[2:4], "population")
    for kernel in (found.nngp, found.ntk):
        np.testing.assert_allclose(kernel[FIRST:], kernel[2:4], rtol=2e-6)


def test_the_same_samples_in_another_batch_have_another_kernel():
    net = nf.mlp(20, 300, 3, 1)
    other = np.concatenate([X[:4], X[FIRST:]])
    found = nf.cross_batch_kernel(net, X[:FIRST], other)
    mine, theirs = found.nngp[:4, :4], found.nngp_between[:4, :4]
    assert np.all(np.diagonal(theirs) < 0.98 * np.diagonal(mine))


@pytest.mark.parametrize("statistics", ["batch", "population"])
def test_without_batch_norm_both_are_the_kernel_of_all_samples(statistics):
    net = network(nf.Dense(30), nf.Activation("tanh"), nf.Dense(30), nf.LayerNorm(), nf.Activation("relu"))
    found = nf.cross_batch_kernel(net, X[:FIRST], X[FIRST:], statistics)
    whole = nf.batch_kernel(net, X)
    np.testing.assert_allclose(found.nngp, whole.nngp, rtol=1e-12)
    np.testing.assert_allclose(found.ntk, whole.ntk, rtol=1e-12)
    assert found.method == "closed form"


def linear_network(statistics, gamma, eps, width, draws, seed):
    """K between all samples of one hidden layer with a linear batch norm, from drawn units."""
    generator = np.random.default_rng(seed)
    z = generator.standard_normal((draws, 20)) @ X.T * math.sqrt(2 / 20)
    z += math.sqrt(0.5) * generator.standard_normal((draws, 1))
    parts = [slice(0, FIRST), slice(FIRST, 13)]
    sources = parts if statistics == "batch" else [slice(0, FIRST)] * 2
    u = np.concatenate(
        [
            (z[:, part] - z[:, source].mean(1, keepdims=True))
            / np.sqrt(z[:, source].var(1, keepdims=True) + eps)
            for part, source in zip(parts, sources, strict=True)
        ],
        axis=1,
    )
    return 2 * gamma**2 * u.T @ u / draws + 0.5


@pytest.mark.parametrize("statistics", ["batch", "population"])
def test_a_linear_network_equals_its_units(statistics):
    net = network(nf.Dense(30), nf.BatchNorm(gamma=0.8, eps=0.1))
    found = nf.cross_batch_kernel(net, X[:FIRST], X[FIRST:], statistics)
    expected = linear_network(statistics, 0.8, 0.1, 30, 400_000, 1)
    assert found.method == "exact"
    np.testing.assert_allclose(found.nngp, expected, atol=0.02)


@pytest.mark.parametrize("statistics", ["batch", "population"])
@pytest.mark.parametrize("method", ["exact", "concentrated", "monte_carlo"])
def test_permuting_the_others_permutes_their_kernel(statistics, method):
    net = nf.mlp(20, 300, 3, 1)
    order = np.array([3, 0, 4, 1, 2])
    here, there = (
        nf.cross_batch_kernel(net, X[:FIRST], other, statistics, method, samples=40_000)
        for other in (X[FIRST:], X[FIRST:][order])
    )
    slack = 8 * here.error if method == "monte_carlo" else 1e-6
    for name in ("nngp_between", "ntk_between"):
        value = getattr(here, name)[:, order]
        np.testing.assert_allclose(
            getattr(there, name), value, atol=slack * np.abs(getattr(here, name[:-8])).max()
        )


def test_monte_carlo_agrees_through_three_layers():
    net = nf.mlp(20, 300, 3, 1)
    for statistics in ("batch", "population"):
        exact, drawn = (
            nf.cross_batch_kernel(net, X[:FIRST], X[FIRST:], statistics, method, samples=100_000)
            for method in ("exact", "monte_carlo")
        )
        for name in ("nngp", "ntk"):
            size = np.abs(np.diagonal(getattr(exact, name))).max()
            assert np.abs(getattr(drawn, name) - getattr(exact, name)).max() < 8 * drawn.error * size


def mean_of_relu(batch):
    """E φ(z₁), z₁ ∝ (1 − z²/(B − 1))^{(B−4)/2}."""
    density = lambda z: (1 - z * z / (batch - 1)) ** ((batch - 4) / 2)  # noqa: E731
    end = math.sqrt(batch - 1)
    total = 2 * integrate.quad(density, 0, end)[0]
    return integrate.quad(lambda z: z * density(z), 0, end)[0] / total


def activations_between(batch, correlation, hidden, tolerance):
    """Cross-batch second moments behind each activation, from inputs that are symmetric under permutations."""
    first = np.concatenate([np.eye(batch), np.zeros((batch, batch))], axis=1)
    second = correlation * first + math.sqrt(1 - correlation**2) * np.roll(first, batch, axis=1)
    layers = [nf.Dense(10), nf.BatchNorm(eps=0.0), nf.Activation("relu")] * hidden
    net = nf.Network((2 * batch,), [*layers, nf.Dense(1)], bias_variance=0.0)
    found = nf.cross_batch_kernel(net, first, second, tolerance=tolerance, layers=True)
    return [layer.nngp[:batch, batch:] for layer in found.layers if not layer.is_affine]


@pytest.mark.parametrize(("batch", "rate"), [(5, 0.69316), (8, 0.70968), (32, 0.72797)])
def test_what_two_batches_share_decays_with_depth_at_yangs_rate(batch, rate):
    first, second = activations_between(batch, 1e-3, 2, 1e-9)
    fixed = mean_of_relu(batch) ** 2
    leading = np.trace(first - fixed), np.trace(second - fixed)
    assert leading[1] / leading[0] == pytest.approx(rate, abs=2e-5 + 1e-3 * rate)


def test_two_batches_that_nearly_coincide_come_to_share_their_means_alone():
    batch = 8
    far = [
        np.abs(each - mean_of_relu(batch) ** 2).max() for each in activations_between(batch, 0.9, 18, 1e-5)
    ]
    assert far[0] > 0.2
    assert far[-1] < 0.01
    ratios = np.array(far[1:]) / np.array(far[:-1])
    assert ratios[0] < 1
    assert np.all(np.diff(ratios) < 0)
    assert ratios[-1] == pytest.approx(0.70968, abs=0.005)


@pytest.mark.parametrize("method", ["exact", "concentrated", "monte_carlo"])
def test_one_sample_is_a_batch_without_variance_or_borrows_one(method):
    """Alone it is its own mean: u = 0 at any ε > 0, every layer starts from its bias, and φ′(0) = 0 for ReLU."""
    net = nf.mlp(20, 300, 3, 1)
    alone = nf.cross_batch_kernel(net, X[:FIRST], X[FIRST : FIRST + 1], "batch", method)
    assert alone.nngp[-1, -1] == pytest.approx(0.5)
    assert alone.ntk[-1, -1] == pytest.approx(1.0)
    np.testing.assert_allclose(alone.nngp_between, 0.5)
    borrowing = nf.cross_batch_kernel(net, X[:FIRST], X[FIRST : FIRST + 1], "population", method)
    together = nf.cross_batch_kernel(net, X[:FIRST], X[FIRST:], "population", method)
    slack = (
        8 * borrowing.error * borrowing.ntk.max() if method == "monte_carlo" else 1e-6 * borrowing.ntk.max()
    )
    np.testing.assert_allclose(borrowing.ntk[-1, -1], together.ntk[FIRST, FIRST], atol=slack)


@pytest.mark.parametrize("statistics", ["batch", "population"])
@pytest.mark.parametrize("method", ["exact", "concentrated", "monte_carlo"])
def test_tensors_stay_tensors_and_have_the_same_kernels(statistics, method):
    net = nf.mlp(20, 300, 3, 1)
    numpys, tensors = (
        nf.cross_batch_kernel(net, x[:FIRST], x[FIRST:], statistics, method, samples=64)
        for x in (X, torch.from_numpy(X))
    )
    assert isinstance(tensors.ntk_between, torch.Tensor)
    np.testing.assert_allclose(tensors.ntk.numpy(), numpys.ntk, rtol=1e-8)
    assert tensors.correlation() == pytest.approx(numpys.correlation())


def test_images_and_residual_blocks_go_through():
    image = nf.Network(
        (2, 4, 4),
        [
            nf.Conv(8, 3, padding=1),
            nf.BatchNorm(),
            nf.Activation("relu"),
            nf.GlobalAveragePool(),
            nf.Dense(1),
        ],
    )
    pictures = GENERATOR.standard_normal((7, 2, 4, 4))
    for statistics in ("batch", "population"):
        found = nf.cross_batch_kernel(image, pictures[:4], pictures[4:], statistics)
        own = nf.batch_kernel(image, pictures[:4], method="concentrated")
        assert found.method == "concentrated"
        np.testing.assert_allclose(found.ntk[:4, :4], own.ntk, rtol=1e-9)
        assert np.linalg.eigvalsh(found.ntk)[0] > 0
    branch = (nf.Dense(20), nf.BatchNorm(), nf.Activation("relu"), nf.Dense(20))
    residual = network(nf.Dense(20), nf.Residual(branch), nf.Residual(branch))
    found = nf.cross_batch_kernel(residual, X[:FIRST], X[FIRST:])
    own = nf.batch_kernel(residual, X[FIRST:])
    np.testing.assert_allclose(found.ntk[FIRST:, FIRST:], own.ntk, rtol=1e-6)


def test_the_result_shows_itself():
    found = nf.cross_batch_kernel(nf.mlp(20, 300, 2, 1), X[:FIRST], X[FIRST:], layers=True)
    assert str(found).startswith(
        "kernel between a batch of 8 and 5 others with own statistics (exact): mean corr"
    )
    frame = found.to_frame()
    assert list(frame.columns) == ["sample", "other", "nngp", "ntk"]
    assert frame.nngp[7] == found.nngp_between[1, 2]
    assert '"statistics": "batch"' in found.to_json()
    assert [layer.name for layer in found.layers] == ["1 Dense", "2 BatchNorm", "4 Dense"]
    variances = np.diagonal(found.nngp)
    expected = found.nngp_between.mean() / math.sqrt(variances[:FIRST].mean() * variances[FIRST:].mean())
    assert found.correlation() == pytest.approx(expected)


def test_infinite_gradients_raise_or_come_back_with_their_words():
    net = nf.Network((2,), [nf.Dense(9), nf.BatchNorm(eps=0.0), nf.Activation("relu"), nf.Dense(1)])
    flat = X[:, :2]
    with pytest.raises(NumericalFailure, match=r'^diverges: .*; or use on_failure="return"$'):
        nf.cross_batch_kernel(net, flat[:FIRST], flat[FIRST:])
    found = nf.cross_batch_kernel(net, flat[:FIRST], flat[FIRST:], on_failure="return")
    assert found.status.startswith("diverges: ")
    assert np.all(np.isfinite(found.nngp))
    assert '"ntk_between": null' in found.to_json()
    assert '"reason": "infinite"' in found.to_json()
    with pytest.raises(InvalidInput, match="more than 4 directions"):
        nf.cross_batch_kernel(net, flat[:FIRST], flat[FIRST:], "population")


def test_bad_input_is_refused_in_one_line():
    net = nf.mlp(20, 300, 2, 1)
    with pytest.raises(InvalidInput, match='expected statistics "batch" or "population", got \'running\''):
        nf.cross_batch_kernel(net, X, X, "running")
    with pytest.raises(InvalidInput, match=r"expected a batch of shape \(B, 20\), got shape \(13, 5\)"):
        nf.cross_batch_kernel(net, X, X[:, :5])
    with pytest.raises(
        InvalidInput, match="arrays of one library, got ndarray and Tensor; give both as NumPy"
    ):
        nf.cross_batch_kernel(net, X, torch.from_numpy(X))
    with pytest.raises(InvalidInput, match="expected finite data, got NaN"):
        nf.cross_batch_kernel(net, X, np.full((2, 20), np.nan))
    with pytest.raises(InvalidInput, match=r'for method="exact", got tanh at layer 2'):
        nf.cross_batch_kernel(nf.mlp(20, 300, 2, 1, activation="tanh"), X, X, method="exact")
    with pytest.raises(InvalidInput, match=r"got 13 samples, which need"):
        nf.cross_batch_kernel(net, X, X, memory=1000)
