"""Kernels of two batches and regression with them against wide built networks, and networks trained to the end."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import normfield as nf

BATCH, OTHERS, INPUTS, WIDTH, EPS = 10, 6, 12, 400, 1e-2
X = np.random.default_rng(2).standard_normal((BATCH + OTHERS, INPUTS))
X[BATCH] = X[0]
SOURCES = {"batch": (slice(0, BATCH), slice(BATCH, None)), "population": (slice(0, BATCH), slice(0, BATCH))}


class Split(nn.Module):
    """Batch norm of rows 0..B−1 by themselves, of the rest by themselves or by the first; γ = 0.8, β = 0.1 or 0."""

    def __init__(self, sources, width, beta):
        super().__init__()
        self.sources = sources
        self.gamma = nn.Parameter(torch.full((width,), 0.8, dtype=torch.float64))
        self.beta = nn.Parameter(torch.full((width,), beta, dtype=torch.float64))

    def forward(self, z):
        parts = (z[:BATCH], z[BATCH:])
        u = [
            (part - z[source].mean(0)) / torch.sqrt(z[source].var(0, correction=0) + EPS)
            for part, source in zip(parts, self.sources, strict=True)
        ]
        return self.gamma * torch.cat(u) + self.beta


def built(statistics, activation, beta, seed):
    """Dense → split batch norm → activation, twice, and a head of 2 outputs; σ_w² = 1.8, σ_b² = 0.2."""
    generator = torch.Generator().manual_seed(seed)
    modules, width = [], INPUTS
    for out in (WIDTH, WIDTH, 2):
        dense = nn.Linear(width, out, dtype=torch.float64)
        with torch.no_grad():
            dense.weight.copy_(torch.randn(out, width, generator=generator) * math.sqrt(1.8 / width))
            dense.bias.copy_(torch.randn(out, generator=generator) * math.sqrt(0.2))
        modules += [dense] if out == 2 else [dense, Split(SOURCES[statistics], out, beta), activation()]
        width = out
    return nn.Sequential(*modules)


@pytest.mark.parametrize("statistics", ["batch", "population"])
@pytest.mark.parametrize(
    ("name", "activation", "beta", "method", "slack"),
    [
        ("relu", nn.ReLU, 0.0, "exact", 0.04),
        ("tanh", nn.Tanh, 0.1, "monte_carlo", 0.04),
    ],
)
def test_tangent_kernels_of_wide_networks(statistics, name, activation, beta, method, slack):
    """Entry by entry within 5 standard errors of the mean of 6 networks, and 4 % of the diagonal for finite width."""
    layers = [nf.Dense(WIDTH), nf.BatchNorm(0.8, beta, EPS), nf.Activation(name)] * 2
    net = nf.Network((INPUTS,), [*layers, nf.Dense(2)], weight_variance=1.8, bias_variance=0.2)
    found = nf.cross_batch_kernel(net, X[:BATCH], X[BATCH:], statistics, method, samples=40_000)
    measured = [
        nf.empirical_ntk(
            built(statistics, activation, beta, seed), torch.from_numpy(X), trace_outputs=True
        ).matrix
        for seed in range(6)
    ]
    mean, error = np.mean(measured, 0), np.std(measured, 0, ddof=1) / np.sqrt(len(measured))
    allowed = 5 * error + slack * np.abs(np.diag(found.ntk)).mean()
    worst = np.max(np.abs(found.ntk - mean) / allowed)
    assert worst < 1, f"{worst:.2f} of what is allowed"


def trained(net, x, y, test, statistics, networks, width, seed):
    """Predictions of networks of one hidden layer, trained together by gradient descent on all samples to the end."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    w1, b1 = draw(networks, INPUTS, width) * math.sqrt(2 / INPUTS), draw(networks, 1, width) * math.sqrt(0.5)
    w2, b2 = draw(networks, width, 1) * math.sqrt(2 / width), draw(networks, 1, 1) * math.sqrt(0.5)
    scale, shift = torch.ones(networks, 1, width).double(), torch.zeros(networks, 1, width).double()
    parameters = [each.requires_grad_() for each in (w1, b1, w2, b2, scale, shift)]

    def predict(inputs, reference):
        z, source = inputs @ w1 + b1, reference @ w1 + b1
        u = (z - source.mean(1, keepdim=True)) / torch.sqrt(source.var(1, keepdim=True, correction=0) + EPS)
        return (torch.relu(scale * u + shift) @ w2 + b2)[:, :, 0]

    rate = 1.0 / (nf.batch_kernel(net, x.numpy()).largest_eigenvalue * len(x))
    for _ in range(500):
        loss = ((predict(x, x) - y) ** 2).sum() / 2
        steps = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, step in zip(parameters, steps, strict=True):
                parameter -= rate * step
    with torch.no_grad():
        assert (predict(x, x) - y).abs().max() < 1e-3
        return predict(test, test if statistics == "batch" else x).numpy()


@pytest.mark.long
@pytest.mark.parametrize("statistics", ["batch", "population"])
def test_networks_trained_to_the_end_are_the_ntk_posterior(statistics):
    """120 networks of width 600: means within 4 standard errors and 0.03, deviations within 26 % (4 of 6.5 % each)."""
    width, networks = 600, 120
    net = nf.Network((INPUTS,), [nf.Dense(width), nf.BatchNorm(eps=EPS), nf.Activation("relu"), nf.Dense(1)])
    y = 3 * np.sin(X[:BATCH, 0]) + X[:BATCH, 1]
    found = nf.kernel_regression(net, X[:BATCH], y, X[BATCH:], "ntk", statistics)
    data, test = torch.from_numpy(X[:BATCH]), torch.from_numpy(X[BATCH:])
    outputs = np.concatenate(
        [
            trained(net, data, torch.from_numpy(y), test, statistics, 20, width, seed)
            for seed in range(networks // 20)
        ]
    )
    deviation = outputs.std(axis=0, ddof=1)
    allowed = 4 * deviation / math.sqrt(networks) + 0.03
    assert np.all(np.abs(outputs.mean(axis=0) - found.mean) < allowed)
    np.testing.assert_allclose(deviation, found.standard_deviation, rtol=0.26, atol=0.02)
    assert np.ptp(found.mean) > 4 * allowed.max()
