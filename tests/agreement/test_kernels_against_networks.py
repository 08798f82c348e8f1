"""Infinite-width kernels on a batch against the neural tangent kernels of wide built networks on the same batch."""

import numpy as np
import pytest
import torch

import normfield as nf

SAMPLES, NETWORKS = 12, 6
IMAGE = (2, 6, 6)
BLOCK = (nf.BatchNorm(), nf.Activation("relu"), nf.Dense(500))
CASES = {
    "batch norm, ReLU": [nf.Dense(500), nf.BatchNorm(0.7), nf.Activation("relu"), *BLOCK[2:], *BLOCK[:2]],
    "batch norm, leaky ReLU": [nf.Dense(500), nf.BatchNorm(eps=0.1), nf.Activation("leaky_relu", slope=0.3)],
    "layer norm, tanh": [nf.Dense(500), nf.LayerNorm(1.3, 0.2), nf.Activation("tanh"), nf.Dense(500), *BLOCK[:2]],
    "RMS norm": [nf.Dense(500), nf.RMSNorm(0.8), nf.Activation("gelu")],
    "layer norm behind the activation": [nf.Dense(500), nf.Activation("relu"), nf.LayerNorm(0.8, 0.3), nf.Dense(500),
                                         nf.Activation("relu")],
    "plain": [nf.Dense(500), nf.Activation("erf"), nf.Dense(500), nf.Activation("softplus")],
    "residual": [nf.Dense(500), nf.Residual(BLOCK), nf.Residual(BLOCK), *BLOCK[:2]],
    "residual behind an activation": [nf.Dense(500), nf.Activation("relu"),
                                      nf.Residual([nf.Dense(500), nf.BatchNorm()])],
}  # fmt: skip
IMAGES = {
    "convolutions": [nf.Conv(150, padding=1, stride=2), nf.Activation("relu"), nf.Conv(150), nf.Activation("relu"),
                     nf.Flatten()],
    "pooled": [nf.Conv(150, 2), nf.Activation("relu"), nf.AveragePool(2), nf.Conv(150, 2), nf.Activation("tanh"),
               nf.GlobalAveragePool()],
    "batch norm on images": [nf.Conv(150, padding=1), nf.BatchNorm(), nf.Activation("relu"), nf.AveragePool(3),
                             nf.Conv(200, 2), nf.BatchNorm(), nf.Activation("relu"), nf.GlobalAveragePool()],
    "layer norm on images": [nf.Conv(150), nf.LayerNorm(), nf.Activation("relu"), nf.Flatten()],
}  # fmt: skip


def compare(layers, shape, samples=SAMPLES, method="auto"):
    """Entry by entry: within 5 standard errors of the mean of 6 networks, and 4 % of the diagonal for finite width."""
    net = nf.Network(shape, [*layers, nf.Dense(4)], weight_variance=1.8, bias_variance=0.2)
    x = np.random.default_rng(7).standard_normal((samples, *shape))
    measured = []
    for seed in range(NETWORKS):
        model = nf.build(net, seed=seed).double()
        found = nf.empirical_ntk(model, torch.from_numpy(x), trace_outputs=True)
        measured.append(found.matrix)
    mean, error = np.mean(measured, 0), np.std(measured, 0, ddof=1) / np.sqrt(NETWORKS)
    kernel = nf.batch_kernel(net, x, method=method).ntk
    allowed = 5 * error + 0.04 * np.abs(np.diag(kernel)).mean()
    worst = np.max(np.abs(kernel - mean) / allowed)
    assert worst < 1, f"{worst:.2f} of what is allowed"
    top = np.linalg.eigvalsh(kernel)[-1]
    assert np.linalg.eigvalsh(mean)[-1] == pytest.approx(top, rel=0.04)


@pytest.mark.parametrize("layers", CASES.values(), ids=CASES)
def test_dense_networks(layers):
    compare(layers, (20,))


def test_the_normaliser_at_its_mean_on_images():
    """Many positions with variance in many directions: "concentrated" is as good."""
    layers = [nf.Conv(150), nf.BatchNorm(), nf.Activation("relu"), nf.GlobalAveragePool()]
    compare(layers, (8, 8, 8), samples=24, method="concentrated")


@pytest.mark.parametrize("layers", IMAGES.values(), ids=IMAGES)
def test_images(layers):
    compare(layers, IMAGE, samples=16)
