"""The encyclopedia's 90 layers: gradient norms by layer without batch norm, with it, and with skip connections too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from normfield.data import DataSet
from normfield.measure.signals import signals
from normfield.nets import build
from normfield.studies.curves import number
from normfield.studies.deep_gradients.checks import verdict
from normfield.studies.deep_gradients.figures import draw, tabulate
from normfield.studies.deep_gradients.prediction import predicted
from normfield.studies.deep_gradients.table import NETWORKS, network_named
from normfield.studies.deep_networks import seeds
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.network_kinds import deep_network
from normfield.studies.permuted_images import permuted

DEPTH = 90


@dataclass(frozen=True)
class Settings:
    """How wide the networks are, on which data, in batches of how many samples, and how many there are of each."""

    data: str
    width: int
    batch_size: int
    networks: int


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"activation": activation, "network": network.name, "layer": layer, "seed": seed}
        for activation, networks in NETWORKS.items()
        for network in networks
        for layer in range(2, DEPTH)
    ]


def _measure(settings: Settings, group: Rows) -> list[Row]:
    """The inner layers of one kind of network: geometric means over networks, and the prediction."""
    activation, drawn = str(group[0]["activation"]), network_named(group[0]["network"])
    data = permuted(settings.data, settings.batch_size * settings.networks, 1)
    network = deep_network(
        drawn.kind,
        activation,
        data.input_shape[0],
        settings.width,
        DEPTH,
        weight_variance=drawn.weight_variance,
    )
    own = seeds(int(number(group[0], "seed")), activation, settings.networks)
    found = np.log([_gradients(settings, data, build(network, seed), k) for k, seed in enumerate(own)])
    layers = np.array([int(number(row, "layer")) for row in group])
    theory = predicted(drawn.kind, network, activation, settings.batch_size, layers, drawn.weight_variance)
    return [
        {"gradient": gradient, "theory": expected}
        for gradient, expected in zip(np.exp(found.mean(axis=0)).tolist(), theory.tolist(), strict=True)
    ]


def _gradients(settings: Settings, data: DataSet, model: nn.Module, k: int) -> list[float]:
    """‖∂ℓ/∂z^l‖ of every inner layer, on the images of the k-th network."""
    own = slice(k * settings.batch_size, (k + 1) * settings.batch_size)
    found = signals(model, (data.inputs[own], data.targets[own]), "cross_entropy")
    return [layer.gradient for layer in found.layers[1:-1]]


STUDY = Study(
    name="article-deep-gradients",
    title="What do 90 layers do to gradients, with batch norm, without, and with skip connections?",
    citation="Encyclopedia article Batch normalization, Gradient flow stabilization, after Backward gradient "
    "normalization in deep neural networks, 2021",
    link="https://arxiv.org/abs/2106.09475",
    claim=(
        "In networks of 90 layers on permuted MNIST batch norm prevents the exponential decay that gradient norms have "
        "without normalisation, though with certain activations they then grow with depth, and together with skip "
        "connections gradients flow through all layers without pathologies."
    ),
    background=(
        "Going backwards through a layer multiplies the gradient by a matrix, and over 90 layers a factor of 0.7 or of "
        "1.2 per layer makes it vanish or explode. Which factor it is can be computed: without normalisation from "
        "activation and initial variance, with batch norm from activation and batch size. A skip connection lets the "
        "gradient by; with batch norm at its head a branch adds less and less to it, and powers of the depth take the "
        "place of exponentials."
    ),
    setting=(
        "Fully connected networks of 90 affine layers at initialisation, as PyTorch modules in training mode: φ(Wh); "
        "φ(BN(Wh)); x + Wφ(BN(x)). Weights are normal with variance σ_w² = 1 over the inputs of a unit (Glorot's, of "
        "layers of one width), biases 0, γ = 1, β = 0, ε = 1e-5. The gradient's norm is ‖∂ℓ/∂z‖ of the cross-entropy "
        "by a layer's outputs z for a batch of images whose pixels stand in one random order; first and last layer "
        "left out, geometric means over networks."
    ),
    differences=(
        "The article gives neither initialisation nor width. “Exponential decay” is read as a fitted factor of at most "
        "0.95 per layer going backwards, “without pathologies” as at most two decades between any two layers and less "
        "than half of those that batch norm alone leaves.",
        "ReLU with σ_w² = 2, He's variance, is drawn beside it: without normalisation the variance decides whether "
        "gradients vanish.",
        "The random order of the pixels makes no difference to fully connected networks with random weights.",
        "Training such networks is the study article-residual-depth.",
        "That batch norm with skip connections must leave less than half of batch norm's own decades, and that batch "
        "norm alone must not decay at all, was set after a first run.",
    ),
    sizes={
        "smoke": Size(
            "digits, width 48, batches of 32, 2 networks each",
            "4 s on one core",
            Settings("digits", 48, 32, networks=2),
        ),
        "small": Size(
            "MNIST, width 300, batches of 128, 6 networks each",
            "half a minute on one core",
            Settings("mnist", 300, 128, networks=6),
        ),
        "paper": Size(
            "MNIST, width 1000, batches of 128, 50 networks each",
            "an hour on one GPU; not yet run by us",
            Settings("mnist", 1000, 128, networks=50),
        ),
    },
    points=_points,
    groups=sharing("activation", "network"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
