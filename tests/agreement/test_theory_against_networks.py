"""Theory against measured Fisher matrices of real networks: two readings of one description that know nothing of each
other. Eight networks each; the mean of the top C eigenvalues agrees within 3 standard errors or 2 %."""

import numpy as np
import pytest
import torch

import normfield as nf

NETWORKS = 8
ACT = nf.Activation


def cluster_means(net, samples, statistics, networks=NETWORKS):
    """Mean of the C top Fisher eigenvalues of each network, on i.i.d. inputs of its own."""
    found = []
    for seed in range(networks):
        generator = torch.Generator().manual_seed(1000 + seed)
        x = torch.randn(samples, *net.input_shape, generator=generator)
        batch = (x, torch.zeros(samples, *net.output_shape))
        curv = nf.curvature(nf.build(net, seed=seed), batch, statistics=statistics, seed=seed)
        found.append(curv.cluster_mean)
    return np.array(found)


def assert_agrees(theory, measured):
    """Within 3 standard errors or 2 %, whichever is wider."""
    error = measured.std(ddof=1) / np.sqrt(len(measured))
    assert abs(theory - measured.mean()) <= max(3 * error, 0.02 * measured.mean()), (
        f"theory {theory:.5g}, measured {measured.mean():.5g} ± {error:.2g}"
    )


@pytest.mark.parametrize("gamma", [0.1, 1.0, 3.0])
def test_batch_statistics(gamma):
    net = nf.mlp(100, 400, 4, 5, gamma=gamma)
    theory = nf.mean_field(net, samples=400).largest_eigenvalue
    assert_agrees(theory, cluster_means(net, 400, "batch"))


@pytest.mark.parametrize(
    ("activation", "gamma", "beta"), [("tanh", 0.5, 1.0), ("gelu", 2.0, 0.0), ("softplus", 1.0, -0.5)]
)
def test_other_activations(activation, gamma, beta):
    net = nf.mlp(100, 400, 3, 5, gamma=gamma, beta=beta, activation=activation)
    field = nf.mean_field(net, samples=400)
    assert field.is_top
    assert_agrees(field.largest_eigenvalue, cluster_means(net, 400, "batch"))


def test_an_odd_activation_is_above_its_closed_form_as_the_field_says():
    net = nf.mlp(100, 400, 3, 5, gamma=2.0, activation="tanh")
    field = nf.mean_field(net)
    assert not field.is_top
    assert cluster_means(net, 400, "batch", networks=2).min() > 2 * field.largest_eigenvalue


def hidden(*parts):
    return nf.Network((100,), [nf.Dense(400), *parts, nf.Dense(400), *parts, nf.Dense(5)])


@pytest.mark.parametrize(
    "net",
    [
        hidden(nf.LayerNorm(0.7), ACT("relu")),
        hidden(nf.LayerNorm(0.7, 0.4), ACT("gelu")),
        hidden(nf.RMSNorm(1.3), ACT("silu")),
        hidden(ACT("relu"), nf.LayerNorm(0.7, 0.3)),
        hidden(ACT("relu"), nf.RMSNorm(0.7)),
        hidden(ACT("relu")),
        nf.Network((100,), [nf.Dense(400, bias=False), ACT("relu"), nf.Dense(5, bias=False)], 2.0, 3.0),
        nf.mlp(100, 400, 4, 5, batch_norm=False, activation="silu"),
        nf.convnet((3, 16, 16), (30, 60), 5, batch_norm=False),
        nf.Network(
            (3, 16, 16),
            [nf.Conv(30, stride=2), ACT("relu"), nf.Flatten(), nf.Dense(200), ACT("relu"), nf.Dense(5)],
        ),
    ],
    ids=lambda net: " ".join(type(layer).__name__ for layer in net.layers[:3]),
)
def test_per_sample_norms_plain_networks_and_convolutions(net):
    theory = nf.mean_field(net, samples=300).largest_eigenvalue
    assert_agrees(theory, cluster_means(net, 300, "batch"))


@pytest.mark.parametrize("statistics", ["batch", "frozen"])
def test_batch_norm_on_some_layers_only(statistics):
    layers = [nf.Dense(400), nf.BatchNorm(), ACT("relu"), nf.Dense(400), ACT("relu"), nf.Dense(5)]
    net = nf.Network((100,), layers)
    assert_agrees(nf.mean_field(net, statistics).largest_eigenvalue, cluster_means(net, 400, statistics))


@pytest.mark.parametrize("statistics", ["batch", "frozen"])
def test_convolutions_with_batch_norm(statistics):
    net = nf.convnet((3, 16, 16), (30, 60), 5)
    field = nf.mean_field(net, statistics)
    measured = cluster_means(net, 200, statistics, networks=4)
    assert 0.94 * measured.mean() < field.largest_eigenvalue < 1.02 * measured.mean()
    assert "lower bound" in field.assumption


@pytest.mark.parametrize(("gamma", "loss_factor"), [(0.5, 0.05), (1.0, 0.05)])
def test_cross_entropy_is_lambda_times_the_measured_softmax_covariance(gamma, loss_factor):
    net = nf.mlp(64, 400, 4, 10, gamma=gamma)
    from normfield.measure import output_covariance

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(400, 64, generator=generator), torch.randint(0, 10, (400,), generator=generator)
    for seed in range(2):
        module = nf.build(net, seed=seed)
        measured = nf.curvature(module, (x, y), loss="cross_entropy", seed=seed).largest_eigenvalue
        covariance = output_covariance(module, (x, y))
        product = nf.mean_field(net, samples=400).largest_eigenvalue * covariance.largest_eigenvalue
        assert product == pytest.approx(measured, rel=loss_factor)


def test_the_order_parameters_are_those_of_a_wide_module():
    """q, q̂ and q̃ of every layer, read off one wide module by hooks and by autograd in frozen mode."""
    net = nf.mlp(200, 1500, 4, 1, gamma=0.8)
    module = nf.build(net, seed=0, dtype=torch.float64)
    x = torch.randn(300, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    z = {}
    affine = [part for part in module if isinstance(part, torch.nn.Linear)]
    for number, part in enumerate(affine, 1):
        part.register_forward_hook(lambda _, __, out, number=number: z.__setitem__(number, out))
    module.eval()
    with torch.no_grad():  # this batch's statistics as constants
        h = x
        for part in module:
            if isinstance(part, torch.nn.BatchNorm1d):
                part.running_mean.copy_(h.mean(0))
                part.running_var.copy_(h.var(0, correction=0))
            h = part(h)
    deltas = torch.autograd.grad(module(x).sum(), [z[number] for number in (1, 2, 3, 4)])
    p = nf.mean_field(net, "frozen").order_parameters
    for l in range(3):
        q = z[l + 1].detach().square().mean().item()
        spread = z[l + 1].detach().var(0, correction=0).mean().item()
        tilde = deltas[l].square().sum(1).mean().item()
        common = deltas[l].mean(0).square().sum().item()
        assert q == pytest.approx(p.q[l], rel=0.05)
        assert spread == pytest.approx(p.q[l] - p.q_xy[l], rel=0.05)
        assert tilde == pytest.approx(p.q_tilde[l], rel=0.1)
        assert common == pytest.approx(p.q_tilde_xy[l], rel=0.1)


LONG = {"inputs": 784, "width": 1000, "depth": 4, "outputs": 10}


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("gamma", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("statistics", ["batch", "frozen"])
def test_the_specified_networks(gamma, statistics):
    net = nf.mlp(**LONG, gamma=gamma)
    theory = nf.mean_field(net, statistics, samples=1000).largest_eigenvalue
    assert_agrees(theory, cluster_means(net, 1000, statistics))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_specified_plain_network():
    net = nf.mlp(**LONG, batch_norm=False)
    assert_agrees(nf.mean_field(net, samples=1000).largest_eigenvalue, cluster_means(net, 1000, "batch"))


@pytest.mark.long
def test_the_frozen_theory_becomes_exact_with_width():
    errors = []
    for width in (100, 300, 1000):
        net = nf.mlp(100, width, 4, 5)
        theory = nf.mean_field(net, "frozen", samples=300).largest_eigenvalue
        errors.append(abs(theory / cluster_means(net, 300, "frozen").mean() - 1))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03
