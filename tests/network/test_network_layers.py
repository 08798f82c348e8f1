"""Shapes, parameter counts and refusals of the layers."""

import numpy as np
import pytest

import normfield as nf
from normfield.network import ACTIVATIONS, Layer


def test_shapes_and_counts_of_a_small_network_by_hand():
    net = nf.Network(
        (3, 9, 9),
        [
            nf.Conv(4, kernel=3, stride=2, padding=1),  # (9 + 2 - 3) // 2 + 1 = 5
            nf.BatchNorm(),
            nf.Activation("relu"),
            nf.AveragePool(2, stride=1),  # 4
            nf.Residual([nf.Conv(4, padding=1), nf.RMSNorm()]),
            nf.LayerNorm(),
            nf.GlobalAveragePool(),
            nf.Dense(2, bias=False),
        ],
    )
    assert net.shapes == (
        (3, 9, 9),
        (4, 5, 5),
        (4, 5, 5),
        (4, 5, 5),
        (4, 4, 4),
        (4, 4, 4),
        (4, 4, 4),
        (4,),
        (2,),
    )
    by_hand = (3 * 9 * 4 + 4) + 8 + (4 * 9 * 4 + 4 + 64) + 128 + 8
    assert net.parameter_count == by_hand
    assert net.depth == 3


def test_descriptions_are_values():
    one, other = (nf.mlp(5, 7, 3, 2, gamma=0.5) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != nf.mlp(5, 7, 3, 2, gamma=0.6)
    assert len({one, other}) == 1
    with pytest.raises(AttributeError):
        one.weight_variance = 3.0
    assert nf.Conv(3, 3) == nf.Conv(3, (3, 3))


def test_printed_table_shows_shapes_and_counts():
    text = str(nf.mlp(784, 1000, 4, 10))
    assert "2,803,010 parameters" in text
    assert "785,000" in text
    frame = nf.mlp(784, 1000, 4, 10).to_frame()
    assert frame["parameters"].sum() == 2_803_010
    assert list(frame["shape"])[-1] == (10,)


def test_numbers_may_be_those_of_numpy():
    by_numpy = nf.mlp(np.int64(784), np.int64(10), np.int32(3), np.int64(10))
    assert by_numpy == nf.mlp(784, 10, 3, 10)
    assert nf.mlp(4, np.array([5, 6]), 3, 2) == nf.mlp(4, [5, 6], 3, 2)
    assert nf.convnet(np.array([3, 8, 8]), np.array([4]), 2) == nf.convnet((3, 8, 8), [4], 2)


def test_widths_may_differ_and_layers_may_override_the_variances():
    net = nf.mlp(4, [5, 6], 3, 2)
    assert net.shapes[-1] == (2,)
    own = nf.Dense(3, weight_variance=1.0)
    assert nf.Network((2,), [own]).variances(own) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nf.Dense(0), "expected the width of Dense of at least 1, got 0"),
        (lambda: nf.Dense(2.5), "the width of Dense as a whole number, got 2.5"),
        (lambda: nf.Dense(2, weight_variance=0), "a finite weight_variance above 0, got 0"),
        (lambda: nf.Conv(3, kernel=(1, 2, 3)), "kernel as a whole number of at least 1"),
        (lambda: nf.BatchNorm(eps=-1), "a finite eps of at least 0, got -1"),
        (lambda: nf.BatchNorm(gamma=float("nan")), "a finite gamma, got nan"),
        (lambda: nf.Activation("rely"), "expected an activation among relu, leaky_relu"),
        (lambda: nf.Activation("relu", slope=0.1), "slope with leaky_relu only"),
        (lambda: nf.Activation(3), "an activation's name, an ActivationFunction or a callable, got 3"),
        (lambda: nf.AveragePool(2, padding=2), "padding of at most half the window"),
        (lambda: nf.Residual([]), "at least one layer in the branch of Residual"),
        (lambda: nf.Residual("relu"), "a list of layers for the branch of Residual"),
        (lambda: nf.Network((4,), [nf.Flatten()]), "at least one Dense or Conv among the layers"),
        (lambda: nf.Network((4,), ["relu"]), "layers (Dense, Conv, BatchNorm, …) in Network, got 'relu'"),
        (
            lambda: nf.Network((4, 4), [nf.Dense(2)]),
            "input_shape as (features,) or (channels, height, width)",
        ),
        (lambda: nf.Network((0,), [nf.Dense(2)]), "each entry of input_shape of at least 1, got 0"),
        (lambda: nf.Network((3, 8, 8), [nf.Dense(2)]), "put Flatten() or GlobalAveragePool() before it"),
        (lambda: nf.Network((4,), [nf.Conv(2)]), "at item 1 of layers, Conv"),
        (lambda: nf.Network((3, 2, 2), [nf.Conv(2)]), "at least as large as the 3-pixel window of Conv"),
        (
            lambda: nf.Network((4,), [nf.Residual([nf.Dense(3)]), nf.Dense(2)]),
            "branch and shortcut of Residual to end in one shape, got (3,) and (4,)",
        ),
        (lambda: nf.mlp(4, 5, 0, 2), "expected depth of at least 1, got 0"),
        (lambda: nf.mlp(4, 5, 1.5, 2), "depth as a whole number, got 1.5"),
        (lambda: nf.mlp(4, 1.5, 3, 2), "width as a whole number, or a list of them, got 1.5"),
        (lambda: nf.mlp(4, True, 3, 2), "the width of Dense as a whole number, got True"),
        (lambda: nf.Dense(np.array([2, 3])), "the width of Dense as a whole number, got array"),
        (lambda: nf.convnet(5, [4], 2), "input_shape as (channels, height, width), got 5"),
        (lambda: nf.convnet((3, 8, 8), 1.5, 2), "channels as a list of at least one number, got 1.5"),
        (lambda: nf.mlp(4, [5], 3, 2), "2 hidden widths for depth 3, got 1"),
        (lambda: nf.convnet((3, 8, 8), [], 2), "channels as a list of at least one number"),
        (lambda: nf.convnet((3, 8, 8), [4], 2, pooling="max"), 'pooling None or "global"'),
        (lambda: nf.mlp(4, 5, 2, 2, weight_variance=-1), "a finite weight_variance above 0, got -1"),
    ],
)
def test_bad_descriptions_say_what_was_expected(make, words):
    with pytest.raises(nf.InvalidInput) as refused:
        make()
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [*ACTIVATIONS])
def test_rows_have_the_parity_and_homogeneity_that_they_claim(name):
    import numpy as np

    from normfield.theory import ops

    row = ACTIVATIONS[name]
    x = np.linspace(-3, 3, 41)
    value = row.function(ops, x)
    if row.parity is not None:
        sign = 1 if row.parity == "even" else -1
        np.testing.assert_allclose(row.function(ops, -x), sign * value, atol=1e-15)
    if row.homogeneous is not None:
        c1, c2 = row.homogeneous
        np.testing.assert_allclose(value, c1 * x + c2 * np.abs(x), atol=1e-15)
    away = x[np.abs(x) > 0.01]
    slope = (row.function(ops, away + 1e-6) - row.function(ops, away - 1e-6)) / 2e-6
    np.testing.assert_allclose(row.derivative(ops, away), slope, atol=1e-8)


def test_every_layer_prints_and_is_a_layer():
    for layer in (nf.Dense(3), nf.Conv(3), nf.BatchNorm(0.5), nf.Flatten(), nf.Residual([nf.Dense(3)])):
        assert isinstance(layer, Layer)
        assert str(layer).startswith(type(layer).__name__ + "(")
