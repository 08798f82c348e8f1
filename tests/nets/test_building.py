"""A built module: the drawn statistics, the description's shapes, determinism, and an untouched random state."""

import numpy as np
import pytest
import torch

import normfield as nf
from normfield.network import ACTIVATIONS

RICH = nf.Network(
    (3, 9, 9),
    [
        nf.Conv(4, padding=1),
        nf.BatchNorm(0.5, 0.1),
        nf.Activation("gelu"),
        nf.Residual([nf.Conv(4, padding=1), nf.RMSNorm(0.7)], [nf.Conv(4, kernel=1)]),
        nf.AveragePool(3, stride=2),
        nf.LayerNorm(2.0, -0.3, eps=1e-3),
        nf.Activation("leaky_relu", slope=0.2),
        nf.GlobalAveragePool(),
        nf.Dense(5, bias=False),
    ],
)


def test_shapes_and_counts_are_those_of_the_description():
    module = nf.build(RICH, seed=3)
    assert sum(p.numel() for p in module.parameters()) == RICH.parameter_count
    x = torch.randn(6, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    for layer, shape in zip(module, RICH.shapes[1:], strict=True):
        x = layer(x)
        assert tuple(x.shape[1:]) == shape


def test_weights_have_the_variances_of_the_standard_parametrisation():
    net = nf.Network((400,), [nf.Dense(500, weight_variance=3.0), nf.Dense(300)], 2.0, 0.5)
    first, second = nf.build(net, seed=1)
    for weight, variance in ((first.weight, 3.0 / 400), (second.weight, 2.0 / 500)):
        n = weight.numel()
        assert weight.var().item() == pytest.approx(variance, rel=4 * np.sqrt(2 / n))
        assert abs(weight.mean().item()) < 4 * np.sqrt(variance / n)
    bias = torch.cat([first.bias, second.bias])
    assert bias.var().item() == pytest.approx(0.5, rel=4 * np.sqrt(2 / 800))


def test_norms_start_at_their_gamma_beta_and_eps():
    module = nf.build(RICH)
    assert module[1].weight.unique().item() == pytest.approx(0.5)
    assert module[1].bias.unique().item() == pytest.approx(0.1)
    assert isinstance(module[1], torch.nn.BatchNorm2d)
    assert module[1].track_running_stats
    assert module[5].eps == 1e-3
    assert module[5].bias.unique().item() == pytest.approx(-0.3)


def test_one_seed_is_one_network_in_every_dtype_and_the_random_state_stays():
    state = torch.get_rng_state()
    single, double = nf.build(RICH, seed=5), nf.build(RICH, seed=5, dtype=torch.float64)
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b.float())
    other = nf.build(RICH, seed=6)
    assert not torch.equal(single[0].weight, other[0].weight)
    assert torch.equal(state, torch.get_rng_state())


def test_forward_pass_equals_the_formulas_written_out():
    net = nf.mlp(4, 6, 2, 3, gamma=0.7, beta=0.2, eps=1e-3)
    module = nf.build(net, seed=2, dtype=torch.float64)
    x = np.random.default_rng(0).standard_normal((8, 4))
    first, last = module[0], module[3]
    z = x @ first.weight.detach().numpy().T + first.bias.detach().numpy()
    u = (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-3)
    h = np.maximum(0.7 * u + 0.2, 0)
    expected = h @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_both_readings_see_the_same_activation(name):
    from normfield.nets import ops as torch_ops
    from normfield.theory import ops as numpy_ops

    x = np.linspace(-4, 4, 33)
    row = ACTIVATIONS[name]
    t = torch.from_numpy(x).requires_grad_()
    value = row.function(torch_ops, t)
    np.testing.assert_allclose(value.detach().numpy(), row.function(numpy_ops, x), atol=1e-14)
    (slope,) = torch.autograd.grad(value.sum(), t)
    away = np.abs(x) > 1e-9
    np.testing.assert_allclose(slope.numpy()[away], row.derivative(numpy_ops, x)[away], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("gelu_tanh", lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
        ("mish", torch.nn.functional.mish),
        ("selu", torch.selu),
        ("gelu", torch.nn.functional.gelu),
        ("silu", torch.nn.functional.silu),
        ("elu", torch.nn.functional.elu),
    ],
)
def test_activations_are_torchs(name, function):
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    module = nf.build(nf.Network((3,), [nf.Activation(name), nf.Dense(2)]), dtype=torch.float64)
    torch.testing.assert_close(module[0](x), function(x), rtol=1e-13, atol=1e-15)


def test_max_pooling_is_torchs():
    net = nf.Network((2, 7, 5), [nf.MaxPool(3, stride=(2, 1), padding=1), nf.Flatten(), nf.Dense(2)])
    assert net.shapes[1] == (2, 4, 5)
    x = torch.randn(4, 2, 7, 5, generator=torch.Generator().manual_seed(0)) - 5  # zeros would win
    expected = torch.nn.functional.max_pool2d(x, 3, (2, 1), 1)
    torch.testing.assert_close(nf.build(net)[0](x), expected)
    assert expected.max() < 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nf.build("mlp"), "expected a Network, got str"),
        (lambda: nf.build(RICH, seed=1.5), "seed as a whole number from 0 to 2**63 - 1, got 1.5"),
        (lambda: nf.build(RICH, seed=-1), "seed as a whole number from 0 to 2**63 - 1, got -1"),
        (lambda: nf.build(RICH, seed=2**63), "seed as a whole number from 0 to 2**63 - 1, got 9223"),
        (lambda: nf.build(RICH, dtype=torch.int64), "a real floating-point dtype"),
    ],
)
def test_bad_input_gets_one_line(call, words):
    with pytest.raises(nf.InvalidInput) as refused:
        call()
    assert words in str(refused.value)
