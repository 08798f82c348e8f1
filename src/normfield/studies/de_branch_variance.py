"""De and Smith: batch norm makes residual branches small beside what they are added to, by one over the depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.nets import build
from normfield.network import Activation, BatchNorm, Conv, Dense, GlobalAveragePool, Layer, Network, Residual
from normfield.studies.branches.checks import verdict
from normfield.studies.branches.figures import draw, tabulate
from normfield.studies.branches.moments import Moments, block_moments
from normfield.studies.branches.table import CONVOLUTIONS, FAMILIES, LINEAR, NORMED, PLAIN
from normfield.studies.curves import number
from normfield.studies.deep_networks import normal, seeds
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.image_training.images import Images
from normfield.studies.network_kinds import BOTH, CLASSES, SKIPS, deep_network


@dataclass(frozen=True)
class Settings:
    """How many blocks of which width and how many channels, on how large a batch of which images, how many networks."""

    blocks: int
    width: int
    channels: int
    images: Images
    batch_size: int
    networks: int


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"family": family, "network": network, "block": block, "seed": seed}
        for family in FAMILIES
        for network in (NORMED, PLAIN)
        for block in range(1, settings.blocks + 1)
    ]


def _measure(settings: Settings, group: Rows) -> list[Row]:
    """Every block of one kind of network: geometric means over the networks drawn."""
    family, normed = str(group[0]["family"]), group[0]["network"] == NORMED
    own = seeds(int(number(group[0], "seed")), family, settings.networks)
    drawn = [_moments(settings, family, normed, seed) for seed in own]
    return [
        {
            "skip": _typical([one[k].skip for one in drawn]),
            "branch": _typical([one[k].branch for one in drawn]),
            "spread_ratio": _typical([one[k].branch_spread / one[k].skip_spread for one in drawn]),
        }
        for k in range(settings.blocks)
    ]


def _typical(values: list[float]) -> float:
    return float(np.exp(np.log(values).mean()))


def _moments(settings: Settings, family: str, normed: bool, seed: int) -> list[Moments]:
    if family == CONVOLUTIONS:
        images = settings.images.read().inputs[: settings.batch_size]
        return block_moments(build(_convolutional(settings, images.shape[1:], normed), seed), images)
    activation = "linear" if family == LINEAR else "relu"
    gain = 1.0 if family == LINEAR else 2.0
    kind, width = BOTH if normed else SKIPS, settings.width
    network = deep_network(kind, activation, width, width, settings.blocks + 2, weight_variance=gain)
    return block_moments(build(network, seed), normal((settings.batch_size, width), seed))


def _convolutional(settings: Settings, shape: tuple[int, ...], normed: bool) -> Network:
    """Blocks x ← x + conv(φ(BN(x))) of 3×3 convolutions at one resolution."""
    given: tuple[Layer, ...] = (Activation("relu"),)
    if normed:
        given = (BatchNorm(), *given)
    convolution = Conv(settings.channels, 3, padding=1)
    blocks = [Residual((*given, convolution))] * settings.blocks
    stem = Conv(settings.channels, 3, padding=1, weight_variance=1.0)
    layers = (stem, *blocks, GlobalAveragePool(), Dense(CLASSES))
    return Network(tuple(shape), layers, weight_variance=2.0, bias_variance=0.0)


STUDY = Study(
    name="de-branch-variance",
    title="How large are residual branches beside what they are added to?",
    citation="De, Smith 2020, Batch normalization biases residual blocks towards the identity function",
    link="https://arxiv.org/abs/2002.10444",
    claim=(
        "At initialisation a residual branch with batch norm has about 1/l times the variance of the skip connection "
        "that it is added to, l being the block's number, so that deep blocks are near the identity, while branches "
        "without normalisation are as large as the skip connection and its variance doubles with every block."
    ),
    background=(
        "A residual block adds a branch to what it is given, x ← x + branch(x). Batch norm at the head of the branch "
        "brings its input to variance 1, so that every branch adds the same amount: after l blocks x has l times the "
        "variance of one branch, and one branch changes it by 1/l. Without normalisation the branch is as large as x "
        "itself and x doubles. That is why residual networks with batch norm train at depths at which others do not: "
        "most of the signal goes through few branches only, and a deep network works as a shallow one."
    ),
    setting=(
        "Blocks x ← x + Wφ(BN(x)) or, without batch norm, x ← x + Wφ(x) at initialisation, as PyTorch modules in "
        "training mode: fully connected and linear (σ_w² = 1), fully connected with ReLU (σ_w² = 2), on independent "
        "normal inputs; 3×3 convolutions with ReLU (σ_w² = 2, padded with zeros, no pooling) on images. In front of "
        "the first block stands one affine layer with σ_w² = 1. Variance is the paper's, over the draw of the weights: "
        "the mean square over samples, units and positions, whose expectation over the weights is 0. Geometric means "
        "over networks."
    ),
    differences=(
        "The paper draws wide residual networks for images as well, whose blocks hold two convolutions and whose "
        "resolution falls; there the variance is reset at each change of resolution. Here the resolution is constant.",
        "“About 1/depth” is read as within a factor 1.5 at every block, and as a fitted power of −1 ± 0.1.",
        "The variance over the batch, which is what batch norm divides by, is given beside it: the part of a branch "
        "that all samples share does not count there.",
        "That a branch without batch norm is as large as its input is read off the typical block; this was set after a "
        "first run, in which single blocks of the convolutions scattered.",
    ),
    sizes={
        "smoke": Size(
            "20 blocks, width 128, 24 channels on digits at 8×8, batches of 32, 2 networks each",
            "2 s on one core",
            Settings(20, 128, 24, Images("digits", 64, 16, side=8), 32, networks=2),
        ),
        "small": Size(
            "100 blocks, width 500, 32 channels on CIFAR-10 at 16×16, batches of 128, 3 networks each",
            "half a minute on one core",
            Settings(100, 500, 32, Images("cifar10", 128, 16, side=16), 128, networks=3),
        ),
        "paper": Size(
            "100 blocks, width 1000, 128 channels on CIFAR-10 at 32×32, batches of 1000, 20 networks each",
            "about an hour on one GPU; not yet run by us",
            Settings(100, 1000, 128, Images("cifar10", 1000, 16), 1000, networks=20),
        ),
    },
    points=_points,
    groups=sharing("family", "network"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
