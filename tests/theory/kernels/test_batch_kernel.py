"""Both kernels of whole networks: textbook recursions, closed forms, symmetries, and what is refused."""

import json
import math

import numpy as np
import pytest

import normfield as nf

B, N0, WIDTH = 12, 6, 50


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((B, N0))


def network(*layers, inputs=N0, weight_variance=1.7, bias_variance=0.3):
    return nf.Network((inputs,), layers, weight_variance=weight_variance, bias_variance=bias_variance)


def stack(norm=None, phi="relu", hidden=3):
    layers = []
    for _ in range(hidden):
        layers += [nf.Dense(WIDTH), *([norm] if norm else []), nf.Activation(phi)]
    return network(*layers, nf.Dense(4))


def relu_pair(kxx, kxy, kyy):
    """E[φφ] and E[φ′φ′] of one pair of ReLU units [Cho and Saul 2009, Eqs. 4 and 6, n = 1 and 0]."""
    angle = math.acos(max(-1.0, min(1.0, kxy / math.sqrt(kxx * kyy))))
    sizes = math.sqrt(kxx * kyy)
    return (
        sizes * (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / (2 * math.pi),
        (math.pi - angle) / (2 * math.pi),
    )


def textbook(x, hidden, sw, sb, width):
    """NNGP and NTK of a plain ReLU network pair by pair, in the standard parametrisation."""
    n = len(x)
    gram = x @ x.T
    k, t = sw * gram / x.shape[1] + sb, gram + 1
    for _ in range(hidden):
        second, slope = np.zeros((n, n)), np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                second[i, j], slope[i, j] = relu_pair(k[i, i], k[i, j], k[j, j])
        k, t = sw * second + sb, sw * slope * t + width * second + 1
    return k, t


def test_a_plain_network_is_the_textbooks(x):
    found = nf.batch_kernel(stack(), x)
    k, t = textbook(x, 3, 1.7, 0.3, WIDTH)
    np.testing.assert_allclose(found.nngp, k, rtol=1e-10)
    np.testing.assert_allclose(found.ntk, t, rtol=1e-10)
    assert found.method == "closed form"


def test_a_linear_network(x):
    """f = W₃W₂W₁x: the sum over layers of the product of all other layers' variances."""
    found = nf.batch_kernel(
        network(nf.Dense(30, bias=False), nf.Dense(40, bias=False), nf.Dense(2, bias=False)), x
    )
    gram = x @ x.T / N0
    np.testing.assert_allclose(found.nngp, 1.7**3 * gram, rtol=1e-12)
    np.testing.assert_allclose(found.ntk, 1.7**2 * (N0 + 30 + 40) * gram, rtol=1e-12)


def test_one_normed_layer_without_activation(x):
    """γ of a linear layer behind batch norm: its tangent kernel at γ is that at 1 by the exact rule for each kind."""
    found = {
        gamma: nf.batch_kernel(
            network(nf.Dense(WIDTH), nf.BatchNorm(gamma, eps=0.0), nf.Dense(1)), x, layers=True
        )
        for gamma in (0.5, 1.0)
    }
    behind = {gamma: kernel.layers[1].nngp for gamma, kernel in found.items()}
    np.testing.assert_allclose(behind[0.5], behind[1.0] / 4, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(behind[1.0].sum(1), 0, atol=1e-9)
    assert np.trace(behind[1.0]) == pytest.approx(B, rel=1e-8)


@pytest.mark.parametrize("norm", [None, nf.BatchNorm(0.7), nf.LayerNorm(0.7, 0.2), nf.RMSNorm(1.3)], ids=str)
@pytest.mark.parametrize("phi", ["relu", "tanh"])
def test_permuting_the_batch_permutes_the_kernels(x, norm, phi):
    order = np.random.default_rng(1).permutation(B)
    net = stack(norm, phi)
    one, other = nf.batch_kernel(net, x), nf.batch_kernel(net, x[order])
    for name in ("nngp", "ntk"):
        there, back = getattr(one, name)[np.ix_(order, order)], getattr(other, name)
        np.testing.assert_allclose(back, there, rtol=1e-7, atol=1e-7 * np.abs(there).max())


@pytest.mark.parametrize("norm", [None, nf.BatchNorm(2.0), nf.LayerNorm(), nf.RMSNorm()], ids=str)
@pytest.mark.parametrize("phi", ["relu", "gelu"])
def test_symmetric_and_positive(x, norm, phi):
    doubled = np.concatenate([x, x[:3]])  # duplicated samples: rank-deficient
    found = nf.batch_kernel(stack(norm, phi), doubled)
    for matrix in (found.nngp, found.ntk):
        np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-12 * np.abs(matrix).max())
        assert np.linalg.eigvalsh(matrix)[0] >= -1e-9 * np.linalg.eigvalsh(matrix)[-1]


@pytest.mark.parametrize(
    "net",
    [
        stack(nf.BatchNorm(0.7)),
        stack(nf.LayerNorm(0.7, 0.1), "tanh"),
        network(
            nf.Dense(WIDTH),
            nf.Residual([nf.BatchNorm(), nf.Activation("relu"), nf.Dense(WIDTH)]),
            nf.Dense(2),
        ),
    ],
    ids=["batch norm", "layer norm", "residual"],
)
def test_kinds_of_parameters_add_up(net, x):
    whole = nf.batch_kernel(net, x).ntk
    parts = [nf.batch_kernel(net, x, parameters=[kind]).ntk for kind in ("weight", "bias", "gamma", "beta")]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-9)
    assert all(np.trace(part) > 0 for part in parts)
    np.testing.assert_array_equal(nf.batch_kernel(net, x, parameters="weights").ntk, parts[0])


def test_a_residual_network_is_the_sum_of_its_paths(x):
    """x ↦ z + W relu(BN(z)) by hand from the pieces."""
    block = [nf.BatchNorm(), nf.Activation("relu"), nf.Dense(WIDTH)]
    whole = nf.batch_kernel(network(nf.Dense(WIDTH), nf.Residual(block), nf.Dense(2)), x, layers=True)
    chain = nf.batch_kernel(network(nf.Dense(WIDTH), *block, nf.Dense(2)), x, layers=True)
    trunk, branch, summed = whole.layers[0], chain.layers[2], whole.layers[-2]
    np.testing.assert_allclose(summed.nngp, trunk.nngp + branch.nngp, rtol=1e-12)
    np.testing.assert_allclose(summed.ntk, trunk.ntk + branch.ntk, rtol=1e-12)


def test_spectrum_and_learning_rate(x):
    found = nf.batch_kernel(stack(nf.BatchNorm()), x)
    values = np.linalg.eigvalsh(found.ntk / B)[::-1]
    assert found.largest_eigenvalue == pytest.approx(values[0], rel=1e-10)
    np.testing.assert_allclose(found.top(3), values[:3], rtol=1e-10)
    assert found.spectrum["mean"] == pytest.approx(values.mean())
    assert found.spectrum["variance"] == pytest.approx(values.var())
    assert found.max_learning_rate(0.9) == pytest.approx(3.8 / values[0])
    assert found.to_frame()["share"].iloc[-1] == pytest.approx(1.0)


def test_the_largest_of_a_long_batch_is_iterated():
    x = np.random.default_rng(2).standard_normal((300, N0))
    found = nf.batch_kernel(stack(nf.BatchNorm()), x)
    np.testing.assert_allclose(found.top(5), np.linalg.eigvalsh(found.ntk)[::-1][:5] / 300, rtol=1e-9)


def test_cross_entropy_is_the_dense_matrix(x):
    """One network's top eigenvalue from the whole (BC, BC) matrix, for the outputs that the seed draws."""
    net = network(nf.Dense(WIDTH), nf.BatchNorm(), nf.Activation("relu"), nf.Dense(3))
    kernel = nf.batch_kernel(net, x)
    values, vectors = np.linalg.eigh(kernel.nngp)
    generator, found = np.random.default_rng(5), []
    for _ in range(4):
        f = vectors * np.sqrt(np.maximum(values, 0)) @ generator.standard_normal((B, 3))
        p = np.exp(f) / np.exp(f).sum(1, keepdims=True)
        hessian = np.zeros((3 * B, 3 * B))
        for i in range(B):
            hessian[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] = np.diag(p[i]) - np.outer(p[i], p[i])
        wide = np.kron(kernel.ntk, np.eye(3)) / B
        found.append(np.linalg.eigvals(hessian @ wide).real.max())
    assert kernel.cross_entropy(seed=5, networks=4).mean == pytest.approx(np.mean(found), rel=1e-3)
    assert kernel.max_learning_rate(loss="cross_entropy") > kernel.max_learning_rate()


def test_json_is_plain(x):
    found = json.loads(nf.batch_kernel(stack(nf.BatchNorm()), x).to_json(0.9))
    assert (found["status"], found["method"]) == ("converged", "exact")
    assert found["max_learning_rate"] == pytest.approx(3.8 / found["largest_eigenvalue"])


def test_images_are_features_for_a_dense_network(x):
    net = stack(nf.BatchNorm())
    np.testing.assert_array_equal(
        nf.batch_kernel(net, x.reshape(B, 1, 2, 3)).ntk, nf.batch_kernel(net, x).ntk
    )


def test_shown_in_words_a_figure_and_a_notebook(x):
    found = nf.batch_kernel(stack(nf.BatchNorm()), x)
    figure = found.plot()
    np.testing.assert_allclose(figure.data[0].y, found.eigenvalues[: len(figure.data[0].y)])
    assert str(found).startswith("kernel on 12 samples (exact): λ_max = ")
    assert "η* without momentum" in found._repr_html_()
    assert nf.batch_kernel(stack(nf.BatchNorm(), "tanh"), x).doubts[0] in str(
        nf.batch_kernel(stack(nf.BatchNorm(), "tanh"), x)
    )


def test_methods_agree_where_they_should():
    x = np.random.default_rng(3).standard_normal((60, 80))
    net = network(nf.Dense(WIDTH), nf.BatchNorm(), nf.Activation("relu"), nf.Dense(2), inputs=80)
    exact = nf.batch_kernel(net, x, method="exact")
    drawn = nf.batch_kernel(net, x, method="monte_carlo", samples=20_000)
    near = nf.batch_kernel(net, x, method="concentrated")
    assert drawn.largest_eigenvalue == pytest.approx(exact.largest_eigenvalue, rel=0.02)
    assert near.largest_eigenvalue == pytest.approx(exact.largest_eigenvalue, rel=0.05)
    assert (exact.method, drawn.method, near.method) == ("exact", "monte_carlo", "concentrated")


def test_auto_says_what_it_took(x):
    net = network(
        nf.Dense(WIDTH), nf.BatchNorm(), nf.Activation("relu"), nf.Dense(WIDTH), nf.BatchNorm(), nf.Activation("tanh"),
        nf.Dense(1),
    )  # fmt: skip
    found = nf.batch_kernel(net, x)
    assert found.method == "exact and concentrated"
    (doubt,) = found.doubts
    assert "directions or a few more before layer 5, below 50" in doubt
    assert "the top eigenvalue may be off by" in doubt


def test_two_directions_without_eps_are_infinite():
    x = np.random.default_rng(4).standard_normal((20, 2))
    net = network(
        nf.Dense(WIDTH, bias=False), nf.BatchNorm(eps=0.0), nf.Activation("relu"), nf.Dense(1), inputs=2
    )
    with pytest.raises(nf.NumericalFailure, match=r"diverges.*at layer 2 BatchNorm") as caught:
        nf.batch_kernel(net, x)
    assert "\n" not in str(caught.value)
    found = nf.batch_kernel(net, x, on_failure="return")
    assert found.largest_eigenvalue == math.inf
    assert np.isfinite(found.nngp).all()
    assert json.loads(found.to_json())["largest_eigenvalue"] is None


X = np.zeros((4, N0)) + np.arange(4)[:, None]
BAD = [
    ("not a Network", {"net": "relu"}, "expected a Network, got str"),
    (
        "method",
        {"method": "magic"},
        "expected method one of auto, exact, concentrated, monte_carlo, got 'magic'",
    ),
    ("shape", {"x": np.zeros((4, 3))}, r"a batch of shape \(B, 6\), got shape \(4, 3\)"),
    ("NaN", {"x": np.full((4, N0), np.nan)}, "expected finite data, got NaN or infinity"),
    ("words", {"x": np.array([["a"] * N0])}, "expected real numbers"),
    ("memory", {"memory": 1000.0}, "expected kernels within 1e\\+03 bytes of memory, got 4 samples"),
    ("parameters", {"parameters": ["sigma"]}, 'expected parameters "all", "weights" or some of'),
    ("tolerance", {"tolerance": 0}, "expected a tolerance above 0"),
    ("samples", {"samples": 31}, "expected at least 32 samples"),
    ("seed", {"seed": 0.5}, "expected seed as a whole number"),
    ("on_failure", {"on_failure": "ignore"}, "expected on_failure one of raise, return"),
    (
        "exact tanh",
        {"net": stack(nf.BatchNorm(), "tanh"), "method": "exact"},
        'got tanh at layer 2 BatchNorm; use method="concentrated"',
    ),
    (
        "constant features",
        {"net": stack(nf.BatchNorm(eps=0.0)), "x": np.ones((4, N0))},
        "expected",
    ),
]


@pytest.mark.parametrize(("given", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_one_line(given, message):
    arguments = {"net": stack(nf.BatchNorm()), "x": X} | given
    with pytest.raises(nf.InvalidInput, match=message) as caught:
        nf.batch_kernel(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nf.BatchNorm(), nf.Activation(), nf.Dense(1)], "batch norm at layer 1 BatchNorm acts on the data"),
        ([nf.Dense(5), nf.Activation(), nf.BatchNorm(), nf.Dense(1)], "stands behind an activation"),
        ([nf.Dense(5), nf.Activation(), nf.Activation(), nf.Dense(1)], "an activation at layer 3 Activation"),
        ([nf.Dense(5), nf.Residual([nf.Activation()]), nf.Dense(1)], "two paths without weights"),
        ([nf.Dense(5), nf.Activation()], "ends with a Dense layer"),
    ],
)
def test_what_has_no_kernel_is_named(layers, message, x):
    with pytest.raises(nf.NotCovered, match=message):
        nf.batch_kernel(network(*layers), x)


def test_max_pooling_has_none():
    net = nf.Network((1, 4, 4), [nf.Conv(3), nf.MaxPool(2), nf.Flatten(), nf.Dense(1)])
    with pytest.raises(nf.NotCovered, match=r"does not cover MaxPool \(layer 2\)"):
        nf.batch_kernel(net, np.zeros((2, 1, 4, 4)))
