"""The door of the population theory: grids, sums, refusals, and a recursion written a second time by hand."""

import json
import math

import numpy as np
import pytest

import normfield as nf

WIDE = {"inputs": 784, "width": 1000, "depth": 4, "outputs": 10}


def published_by_hand(gamma, depth=4, width=1000, w=2.0, b=0.5):
    """Wei's Eqs. 20–25 for ReLU with batch norm, one number at a time."""
    q_hat, q_hat_xy, q = [1.0], [0.0], []
    for l in range(1, depth + 1):
        q.append(b + w * q_hat[l - 1])
        q_hat.append(gamma**2 / 2)
        q_hat_xy.append(gamma**2 / (2 * math.pi))
    total, tilde_xy = 0.0, 1.0
    for l in range(depth, 0, -1):
        fan_in = width if l > 1 else 784
        total += fan_in * q_hat_xy[l - 1] * tilde_xy
        if l > 1:
            tilde_xy *= gamma**2 * w / (4 * q[l - 2])
    return total


@pytest.mark.parametrize("gamma", [0.1, 0.7, 1.0, 3.3])
@pytest.mark.parametrize("depth", [2, 4, 9])
def test_published_recursion_equals_the_one_written_by_hand(gamma, depth):
    field = nf.mean_field(nf.mlp(784, 1000, depth, 10, gamma=gamma), statistics="published")
    assert field.largest_eigenvalue == pytest.approx(published_by_hand(gamma, depth), rel=1e-12)


def test_terms_sum_to_the_eigenvalue_and_name_every_parameter():
    field = nf.mean_field(nf.mlp(**WIDE), statistics="frozen")
    assert sum(float(term.value) for term in field.terms) == pytest.approx(field.largest_eigenvalue)
    kinds = {(term.layer, term.kind) for term in field.terms}
    hidden = {(l, kind) for l in (1, 2, 3) for kind in ("weight", "bias", "gamma", "beta")}
    assert kinds == hidden | {(4, "weight"), (4, "bias")}
    assert field.to_frame()["value"].sum() == pytest.approx(field.largest_eigenvalue)


def test_closed_form_does_not_depend_on_depth():
    # N(Eφ)² + 1 + σ_w²[(Eφ′z)² + (Eφ′)²] for ReLU at γ = 1: 1000/2π + 1 + 2(1/2π + 1/4), at ε = 0
    expected = 1000 / (2 * math.pi) + 1 + 2 * (1 / (2 * math.pi) + 0.25)
    for depth in (2, 4, 20):
        field = nf.mean_field(nf.mlp(784, 1000, depth, 10, eps=0.0))
        assert field.largest_eigenvalue == pytest.approx(expected, rel=1e-12)


def test_a_grid_equals_the_networks_one_by_one():
    gammas, widths = np.array([0.1, 1.0, 2.0]), np.array([100.0, 1000.0])
    grid = nf.mean_field(nf.mlp(**WIDE), "frozen", gamma=gammas[:, None], width=widths, samples=500)
    assert grid.largest_eigenvalue.shape == (3, 2)
    for i, gamma in enumerate(gammas):
        for j, width in enumerate(widths):
            one = nf.mean_field(nf.mlp(784, int(width), 4, 10, gamma=gamma), "frozen", samples=500)
            assert grid.largest_eigenvalue[i, j] == pytest.approx(one.largest_eigenvalue, rel=1e-12)
            assert grid.max_learning_rate(0.9)[i, j] == pytest.approx(one.max_learning_rate(0.9), rel=1e-12)
            assert bool(grid.is_top[i, j]) == one.is_top


def test_depth_is_an_axis_too():
    grid = nf.mean_field(nf.mlp(**WIDE), "published", depth=[[2], [5]], gamma=[0.5, 1.5])
    assert grid.largest_eigenvalue.shape == (2, 2)
    for i, depth in enumerate((2, 5)):
        for j, gamma in enumerate((0.5, 1.5)):
            expected = published_by_hand(gamma, depth)
            assert grid.largest_eigenvalue[i, j] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(grid.order_parameters.q[2:, 0]).all()
    assert np.isfinite(grid.order_parameters.q[:, 1]).all()


def test_a_grid_says_where_each_row_stands_and_where_the_value_is_the_top():
    grid = nf.mean_field(nf.mlp(64, 100, 4, 10), depth=[[4], [24]], gamma=[0.5, 1.0], samples=500)
    frame = grid.to_frame()
    assert list(frame.columns[:3]) == ["gamma", "samples", "depth"]
    assert frame["depth"].tolist() == [4, 4, 24, 24]
    assert frame["gamma"].tolist() == [0.5, 1.0, 0.5, 1.0]
    for _, row in frame.iterrows():
        net = nf.mlp(64, 100, int(row["depth"]), 10, gamma=row["gamma"])
        one = nf.mean_field(net, samples=500)
        assert row["largest_eigenvalue"] == pytest.approx(one.largest_eigenvalue, rel=1e-12)
        assert row["is_top"] == one.is_top
    assert f"{100 * frame['is_top'].mean():.0f} % of its points" in str(grid)


def test_learning_rate_is_two_over_lambda_with_momentum():
    field = nf.mean_field(nf.mlp(**WIDE), statistics="published")
    assert field.max_learning_rate() == pytest.approx(2 / field.largest_eigenvalue)
    assert field.max_learning_rate(momentum=0.9) == pytest.approx(3.8 / field.largest_eigenvalue)


def test_modes_coincide_without_batch_norm():
    plain = nf.mlp(**WIDE, batch_norm=False)
    values = [
        nf.mean_field(plain, mode, parameters="all").largest_eigenvalue
        for mode in ("published", "frozen", "batch")
    ]
    assert values[0] == values[1] == values[2]
    layer = nf.Network((784,), [nf.Dense(1000), nf.LayerNorm(), nf.Activation("tanh"), nf.Dense(10)])
    assert nf.mean_field(layer, "frozen").largest_eigenvalue == nf.mean_field(layer).largest_eigenvalue


def test_in_batch_mode_nothing_in_common_passes_below_a_batch_norm():
    layers = [nf.Dense(50), nf.BatchNorm(), nf.Activation("relu"), nf.Dense(60), nf.Activation("relu")]
    field = nf.mean_field(nf.Network((20,), [*layers, nf.Dense(3)]))
    assert field.order_parameters.q_tilde_xy[0] == 0
    assert field.order_parameters.q_tilde_xy[1] > 0
    frozen = nf.mean_field(nf.Network((20,), [*layers, nf.Dense(3)]), "frozen")
    assert frozen.order_parameters.q_tilde_xy[0] > 0


def test_it_says_when_the_common_direction_is_not_the_top():
    odd = nf.mean_field(nf.mlp(**WIDE, gamma=2.0, activation="tanh"), samples=600)
    assert not odd.is_top
    assert "lower bound" in odd.assumption
    assert nf.mean_field(nf.mlp(**WIDE, gamma=2.0), samples=600).is_top
    shifted = nf.mean_field(nf.mlp(**WIDE, gamma=0.5, beta=1.0, activation="tanh"), samples=600)
    assert shifted.is_top


def test_layers_without_bias_have_neither_its_variance_nor_its_term():
    layers = [nf.Dense(50, bias=False), nf.Activation("relu"), nf.Dense(3, bias=False)]
    field = nf.mean_field(nf.Network((20,), layers, 2.0, 3.0))
    same = [nf.Dense(50), nf.Activation("relu"), nf.Dense(3)]
    zero = nf.mean_field(nf.Network((20,), same, 2.0, 0.0), parameters="weights")
    assert {term.kind for term in field.terms} == {"weight"}
    assert field.largest_eigenvalue == pytest.approx(zero.largest_eigenvalue, rel=1e-12)


def test_gamma_zero_and_zero_bias_are_fine():
    field = nf.mean_field(nf.mlp(784, 1000, 4, 10, gamma=0.0, bias_variance=0.0, beta=0.5))
    assert math.isfinite(field.largest_eigenvalue)
    layer = [nf.Dense(100), nf.LayerNorm(gamma=0.0, beta=0.3), nf.Activation("tanh"), nf.Dense(10)]
    near = [nf.Dense(100), nf.LayerNorm(gamma=1e-4, beta=0.3), nf.Activation("tanh"), nf.Dense(10)]
    values = [nf.mean_field(nf.Network((20,), each)).largest_eigenvalue for each in (layer, near)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_json_holds_every_number_and_no_infinity():
    net = nf.mlp(**WIDE, activation="tanh", bias_variance=0.0, batch_norm=False)
    parsed = json.loads(nf.mean_field(net, parameters="weights").to_json())
    assert parsed["largest_eigenvalue"] == 0
    assert parsed["max_learning_rate"] is None
    assert parsed["reason"] == "infinite"
    assert len(parsed["order_parameters"]) == 4
    assert set(parsed["terms"][0]) == {"layer", "kind", "value"}


def test_cross_entropy_interval_holds_the_specified_products():
    # spec'd for m → ∞ and σ_b² = 0.5: 0.74, 8.9, 32.7, 104 at γ = 0.1, 0.5, 1, 2; drawn factors differ by about 2 %
    for gamma, expected in ((0.1, 0.74), (0.5, 8.9), (1.0, 32.7), (2.0, 104.0)):
        found = nf.mean_field(nf.mlp(**WIDE, gamma=gamma)).cross_entropy(seed=1, networks=400)
        standard_error = (found.high - found.low) / 3.3 / math.sqrt(400)
        assert found.mean == pytest.approx(expected, abs=4 * standard_error + 0.01 * expected)
        assert found.low < expected < found.high
    again = nf.mean_field(nf.mlp(**WIDE)).cross_entropy(seed=1, networks=400)
    assert again == nf.mean_field(nf.mlp(**WIDE)).cross_entropy(seed=1, networks=400)


CONV = nf.convnet((3, 32, 32), (30, 60), 10)


@pytest.mark.parametrize(
    ("net", "arguments", "words"),
    [
        (nf.convnet((3, 32, 32), (30,), 10, pooling="global"), {}, "does not cover GlobalAveragePool"),
        (nf.Network((4,), [nf.Residual([nf.Dense(4)]), nf.Dense(2)]), {}, "does not cover Residual"),
        (nf.convnet((3, 32, 32), (30,), 10, padding=1), {}, "padded convolution"),
        (nf.convnet((3, 32, 32), (30,), 10), {"samples": 100}, "there are convolutions"),
        (nf.Network((4,), [nf.BatchNorm(), nf.Dense(2)]), {}, "BatchNorm stands before the first"),
        (nf.Network((3, 8, 8), [nf.Conv(2)]), {}, "a linear dense layer last"),
        (
            nf.Network(
                (3, 8, 8), [nf.Conv(2), nf.Flatten(), nf.BatchNorm(), nf.Activation("relu"), nf.Dense(2)]
            ),
            {},
            "batch norm after Flatten",
        ),
        (nf.Network((4,), [nf.Dense(2), nf.Activation("relu")]), {}, "a linear dense layer last"),
        (
            nf.Network((4,), [nf.Dense(3), nf.Activation("relu"), nf.BatchNorm(), nf.Dense(2)]),
            {},
            "batch norm after the activation",
        ),
        (
            nf.Network((4,), [nf.Dense(3), nf.BatchNorm(), nf.BatchNorm(), nf.Dense(2)]),
            {},
            "not BatchNorm → BatchNorm",
        ),
        (
            nf.Network(
                (4,),
                [
                    nf.Dense(3),
                    nf.BatchNorm(),
                    nf.Activation("relu"),
                    nf.Dense(3),
                    nf.Activation("relu"),
                    nf.Dense(2),
                ],
            ),
            {"samples": 10},
            "layer 2 has no batch norm",
        ),
    ],
)
def test_networks_outside_the_theory_are_refused_with_the_reason(net, arguments, words):
    with pytest.raises(nf.NotCovered) as refused:
        nf.mean_field(net, **arguments)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nf.mean_field("relu"), "expected a Network, got str"),
        (lambda: nf.mean_field(nf.mlp(**WIDE), "running"), 'statistics "published", "frozen" or "batch"'),
        (lambda: nf.mean_field(nf.mlp(**WIDE), parameters="biases"), 'parameters "all" or "weights"'),
        (lambda: nf.mean_field(nf.mlp(**WIDE), samples=0), "finite samples, at least 1, got 0.0"),
        (lambda: nf.mean_field(nf.mlp(**WIDE), gamma=[1, math.nan]), "finite gamma, got nan"),
        (
            lambda: nf.mean_field(nf.mlp(**WIDE), weight_variance=0),
            "finite weight_variance, positive, got 0.0",
        ),
        (lambda: nf.mean_field(nf.mlp(**WIDE, gamma=1e200)), "moments float64 can hold, got an overflow"),
        (lambda: nf.mean_field(nf.mlp(**WIDE), gamma="large"), "gamma as a number or an array"),
        (lambda: nf.mean_field(nf.mlp(**WIDE), depth=2.5), "depth as whole numbers, got 2.5"),
        (lambda: nf.mean_field(nf.mlp(**WIDE), gamma=[1, 2], width=[1, 2, 3]), "axes that broadcast"),
        (lambda: nf.mean_field(nf.mlp(**WIDE), depth=[]), "at least one value of depth, got none"),
        (lambda: nf.mean_field(nf.mlp(**WIDE), gamma=[]), "at least one value of gamma, got none"),
        (
            lambda: nf.mean_field(nf.mlp(4, 5, 1, 2), depth=[2, 3]),
            "a hidden layer to repeat for a depth grid",
        ),
        (lambda: nf.mean_field(nf.mlp(4, [5, 6], 3, 2), depth=3), "equal hidden layers for a depth grid"),
        (lambda: nf.mean_field(CONV, width=10), "a width grid with a fully connected network"),
        (lambda: nf.mean_field(nf.mlp(**WIDE)).max_learning_rate(1.0), "momentum in [0, 1), got 1.0"),
        (
            lambda: nf.mean_field(nf.mlp(**WIDE), gamma=[1, 2]).cross_entropy(),
            "one network for cross-entropy",
        ),
    ],
)
def test_bad_questions_get_one_line(call, words):
    with pytest.raises(nf.InvalidInput) as refused:
        call()
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
