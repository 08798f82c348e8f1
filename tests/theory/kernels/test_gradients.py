"""The way back: exact adjoints of whole networks, and the gradients of wide networks that were built."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import normfield as nf
from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure.signals import signals
from normfield.theory.kernels.layer.homogeneous import homogeneous_pull_back
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.layer.sampled_back import sampled_pull_back
from normfield.theory.kernels.walk.gradients import return_along
from normfield.theory.kernels.walk.rules import Asked, pass_along
from normfield.theory.kernels.walk.signal import of_data
from normfield.theory.kernels.walk.steps import read_steps
from normfield.theory.kernels.walk.ways import Ways

RELU, TANH, GELU = nf.Activation("relu"), nf.Activation("tanh"), nf.Activation("gelu")
BLOCK = nf.Residual([nf.BatchNorm(), RELU, nf.Dense(20)])

NETWORKS = {
    "chain": nf.mlp(12, 100, 5, 3, gamma=0.6),
    "smooth": nf.mlp(12, 100, 4, 3, activation="gelu", beta=0.4),
    "plain": nf.mlp(12, 100, 4, 3, activation="erf", batch_norm=False),
    "residual": nf.Network((12,), [nf.Dense(20), BLOCK, BLOCK, nf.BatchNorm(), RELU, nf.Dense(3)]),
    "per sample": nf.Network(
        (12,),
        [
            nf.Dense(20),
            nf.LayerNorm(gamma=0.7, beta=0.2),
            RELU,
            nf.Dense(20),
            TANH,
            nf.RMSNorm(),
            nf.Dense(3),
        ],
    ),
    "images": nf.Network(
        (3, 8, 8),
        [
            nf.Conv(5, kernel=3, stride=2, padding=1),
            nf.BatchNorm(gamma=0.7),
            RELU,
            nf.AveragePool(2, padding=1),
            nf.Residual(
                [nf.Conv(5, kernel=3, padding=1), nf.BatchNorm(), TANH, nf.Conv(5, kernel=1)],
                shortcut=[nf.Conv(5, kernel=1)],
            ),
            nf.Flatten(),
            nf.Dense(20),
            nf.BatchNorm(),
            GELU,
            nf.Dense(3),
        ],
    ),
}


def positive(n, generator):
    a = generator.standard_normal((n, n))
    return a @ a.T


@pytest.mark.parametrize("name", NETWORKS)
def test_the_way_back_is_the_adjoint_of_the_tangent_kernels_way_forwards(name):
    net, generator = NETWORKS[name], np.random.default_rng(1)
    signal = of_data(generator.standard_normal((7, *net.input_shape)), net.input_shape)
    tangent, pi = positive(len(signal.nngp), generator), positive(7, generator)
    nothing = Asked(Ways(), frozenset())  # no parameters: what is in Θ is what came in
    passed = pass_along(read_steps(net), replace(signal, ntk=tangent), nothing)
    returned = return_along(passed, pi, Ways())
    assert np.sum(pi * passed[-1].after.ntk) == pytest.approx(np.sum(returned[0].front * tangent), rel=1e-10)
    for each in returned:  # and of every step
        forwards = np.sum(each.behind * each.passed.after.ntk)
        assert forwards == pytest.approx(np.sum(each.front * each.passed.before.ntk), rel=1e-10)


def test_monte_carlo_goes_back_as_the_exact_integrals_do():
    generator = np.random.default_rng(2)
    nngp, pi, norm = positive(12, generator), positive(12, generator), BatchNormalisation(0.7, 0.0, 1e-3)
    exact, _ = homogeneous_pull_back(nngp, pi, norm, 0.5, 0.5)
    runs = [sampled_pull_back(nngp, pi, norm, RELU.row, 1500, seed)[0] for seed in range(48)]
    error = np.std(runs, axis=0, ddof=1) / math.sqrt(48)
    assert np.all(np.abs(np.mean(runs, axis=0) - exact) < 5 * error)
    found, told = sampled_pull_back(nngp, pi, norm, RELU.row, 1500, 0)
    scatter = np.std([np.trace(run) for run in runs], ddof=1) / np.trace(exact)
    assert told == pytest.approx(scatter, rel=0.4)
    np.testing.assert_array_equal(found, runs[0])


WIDE = {
    "chain": (nf.mlp(32, 800, 5, 10), "squared"),
    "chain, cross-entropy": (nf.mlp(32, 800, 5, 10, gamma=0.5), "cross_entropy"),
    "smooth": (nf.mlp(32, 800, 4, 10, activation="gelu", beta=0.3), "squared"),
    "plain": (nf.mlp(32, 800, 4, 10, activation="tanh", batch_norm=False), "cross_entropy"),
    "residual": (
        nf.Network(
            (32,),
            [
                nf.Dense(800),
                *[nf.Residual([nf.BatchNorm(), RELU, nf.Dense(800)]) for _ in range(2)],
                nf.BatchNorm(),
                RELU,
                nf.Dense(10),
            ],
        ),
        "squared",
    ),
    "images": (
        nf.Network(
            (2, 6, 6),
            [
                nf.Conv(120, kernel=3, padding=1),
                nf.BatchNorm(),
                RELU,
                nf.Conv(120, kernel=3),
                RELU,
                nf.AveragePool(2),
                nf.Flatten(),
                nf.Dense(10),
            ],
        ),
        "squared",
    ),
}
BUILT = 8


@pytest.mark.parametrize("name", WIDE)
def test_wide_networks_have_the_predicted_signals_and_gradients(name):
    (net, loss), generator = WIDE[name], np.random.default_rng(3)
    x, labels = generator.standard_normal((32, *net.input_shape)), generator.integers(0, 10, 32)
    predicted = nf.depth_profile(net, x, labels, loss)
    batch = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(labels)
    built = [signals(nf.build(net, seed=seed), batch, loss).layers for seed in range(BUILT)]
    for i, layer in enumerate(predicted.layers):
        assert (built[0][i].units, built[0][i].positions) == (layer.units, layer.positions)
        for got, expected in (
            ([each[i].mean_square for each in built], layer.mean_square),
            ([each[i].correlation for each in built], layer.correlation),
            ([each[i].gradient ** 2 for each in built], layer.gradient**2),
        ):
            error = np.std(got, ddof=1) / math.sqrt(BUILT) + 0.01 * abs(expected)  # 1 %: the width is finite
            assert abs(np.mean(got) - expected) < 4 * error, (layer.name, np.mean(got), expected)
    gradients = [each[1].gradient ** 2 / each[-2].gradient ** 2 for each in built]  # the growth alone
    grown = predicted.layers[1].gradient ** 2 / predicted.layers[-2].gradient ** 2
    assert np.mean(gradients) == pytest.approx(grown, rel=0.06)


def test_a_deep_network_explodes_at_yangs_rate():
    """λ_G of ReLU at B = 32 to the digits of the closed form, far from data and outputs."""
    x = np.random.default_rng(0).standard_normal((32, 64))
    found = nf.depth_profile(nf.mlp(64, 1000, 14, 10, eps=0.0), x)
    squares = [layer.gradient**2 for layer in found.layers]
    assert squares[4] / squares[5] == pytest.approx(1.52195, rel=2e-3)
    assert found.explosion_rate == pytest.approx(1.522, rel=0.02)
    assert found.trainable_depth == pytest.approx(38.1, rel=0.05)
    assert "such layers are the limit of what trains" in str(found)


def test_what_samples_share_is_not_in_the_gradient_below_a_batch_norm():
    x = np.random.default_rng(0).standard_normal((16, 64))
    layers = nf.depth_profile(nf.mlp(64, 1000, 4, 10), x).layers
    assert layers[-1].gradient_correlation == pytest.approx(layers[-1].correlation)  # targets 0: δ = f/B
    assert all(abs(layer.gradient_correlation) < 1.2 / 15 for layer in layers[:-1])


def test_outputs_gradients_of_the_squared_loss_are_those_of_draws():
    generator = np.random.default_rng(4)
    x, y = generator.standard_normal((6, 5)), generator.standard_normal((6, 3))
    net = nf.mlp(5, 50, 3, 3)
    kernel = nf.batch_kernel(net, x).nngp
    root = np.linalg.cholesky(kernel)
    f = np.einsum("bi,nic->nbc", root, generator.standard_normal((20000, 6, 3)))
    norms = np.sum((f - y) ** 2, axis=(1, 2)) / 36
    found = nf.depth_profile(net, x, y).layers[-1].gradient ** 2
    assert abs(found - norms.mean()) < 4 * norms.std() / math.sqrt(len(norms))
    alone = nf.depth_profile(net, x).layers[-1].gradient ** 2
    assert alone == pytest.approx(3 * np.trace(kernel) / 36)


def test_skip_connections_have_no_limit_of_depth():
    deep = nf.Network((12,), [nf.Dense(20), *[BLOCK] * 6, nf.Dense(3)])
    found = nf.depth_profile(deep, np.random.default_rng(0).standard_normal((16, 12)))
    chain = nf.depth_profile(nf.mlp(12, 20, 8, 3), np.random.default_rng(0).standard_normal((16, 12)))
    assert found.has_skips
    assert found.trainable_depth is None
    assert found.explosion_rate < chain.explosion_rate


def test_it_is_kept_as_table_json_words_and_figure():
    x = np.random.default_rng(0).standard_normal((16, 12))
    found = nf.depth_profile(nf.mlp(12, 20, 6, 3), x)
    frame = found.to_frame()
    assert list(frame["name"]) == [layer.name for layer in found.layers]
    kept = json.loads(found.to_json())
    assert kept["layers"][2]["gradient"] == found.layers[2].gradient
    assert kept["explosion_rate"] == found.explosion_rate
    assert kept["gradient_growth"]["factor"] == pytest.approx(found.gradient_growth.factor)
    assert found.verdict in str(found)
    signal, gradient = found.plot().data
    assert list(gradient.y) == [layer.gradient for layer in found.layers]
    assert list(signal.y) == [math.sqrt(layer.mean_square) for layer in found.layers]
    few = nf.depth_profile(nf.mlp(12, 20, 3, 3), x)
    assert few.gradient_growth is None
    assert "too few" in str(few)
    assert json.loads(few.to_json())["explosion_rate"] is None


def test_gradients_without_bound_are_a_status():
    x = np.random.default_rng(0).standard_normal((3, 12))
    net = nf.mlp(12, 20, 4, 3, eps=0.0)
    with pytest.raises(NumericalFailure, match="diverges"):
        nf.depth_profile(net, x)
    found = nf.depth_profile(net, x, on_failure="return")
    assert found.status.startswith("diverges")
    assert found.gradient_growth is None
    assert json.loads(found.to_json())["layers"][0]["gradient"] is None


X = np.random.default_rng(0).standard_normal((8, 12))
NET = nf.mlp(12, 20, 3, 3)


@pytest.mark.parametrize(
    ("words", "change"),
    {
        "loss": ('loss "squared" or "cross_entropy"', {"loss": "hinge"}),
        "no targets": ("targets for cross-entropy", {"loss": "cross_entropy"}),
        "labels": ("8 classes from 0 to 2", {"targets": np.full(8, 3)}),
        "shape": (r"targets of shape \(8, 3\)", {"targets": np.zeros((8, 4))}),
        "not finite": ("finite targets", {"targets": np.full((8, 3), np.nan)}),
        "networks": ("at least 1 network", {"networks": 0}),
        "method": ("method one of", {"method": "guess"}),
        "data": ("batch of shape", {"x": X[:, :5]}),
    }.values(),
)
def test_bad_input_is_one_line(words, change):
    with pytest.raises(InvalidInput, match=words) as caught:
        nf.depth_profile(NET, **({"x": X} | change))
    assert "\n" not in str(caught.value)
