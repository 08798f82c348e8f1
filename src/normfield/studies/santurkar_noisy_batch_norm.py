"""Santurkar et al., Fig. 2: batch norm followed by noise that moves activations trains as well all the same."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from normfield.data import DataSet
from normfield.measure.batch_norm import with_noisy_batch_norm
from normfield.measure.shift import LayerInputs, distribution_shift, layer_inputs
from normfield.studies.architectures.vgg_pair import vgg11
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.halted_training import Batch, endless_batches, evenly, halts
from normfield.studies.image_training.images import Images
from normfield.studies.noise_and_shift.checks import verdict
from normfield.studies.noise_and_shift.figures import draw, tabulate
from normfield.studies.noise_and_shift.table import (
    ACCURACY,
    DEVIATION_DRIFT,
    MEAN_DRIFT,
    NETWORKS,
    NOISY,
    PLAIN,
    SHIFT,
)

LEARNING_RATE = 0.1


@dataclass(frozen=True)
class Settings:
    """Which images, how wide a network, how long it trains and how often it is looked at, on how many images."""

    images: Images
    channels: int
    steps: int
    looks: int
    runs: int
    batch_size: int = 128
    looked_at: int = 256

    @property
    def at(self) -> list[int]:
        """Steps at which the network is looked at."""
        return evenly(self.steps, self.looks + 1)


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"network": network, "seed": seed + k, "step": step}
        for network in NETWORKS
        for k in range(settings.runs)
        for step in settings.at[1:]
    ]


def _measure(settings: Settings, group: Rows) -> Sequence[Row]:
    """One run."""
    data, seed = settings.images.read(), int(number(group[0], "seed"))
    model = _network(str(group[0]["network"]), settings.channels, data, seed)
    return list(_looks(model, data, settings, seed))


def _network(kind: str, channels: int, data: DataSet, seed: int) -> nn.Module:
    model = vgg11(channels, data.outputs, seed, batch_norm=kind != PLAIN, colours=data.input_shape[0])
    return with_noisy_batch_norm(model, seed=seed) if kind == NOISY else model


def _looks(model: nn.Module, data: DataSet, settings: Settings, seed: int) -> Iterator[Row]:
    """The rest of a row at each look but the first, from which the first shift counts."""
    batches = endless_batches(data, settings.batch_size, seed)
    looked_at = data.inputs[: settings.looked_at], data.targets[: settings.looked_at]
    before: LayerInputs | None = None
    for _ in halts(model, batches, settings.at, learning_rate=LEARNING_RATE):
        now = layer_inputs(model, looked_at, layers=_activations(model), units=16, positions=4)
        if before is not None:
            yield {ACCURACY: _accuracy(model, looked_at, settings.batch_size), **_shifts(before, now)}
        before = now


def _activations(model: nn.Module) -> list[str]:
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.ReLU)]


def _shifts(before: LayerInputs, now: LayerInputs) -> dict[str, float]:
    """Means over the layers."""
    found = distribution_shift(before, now).layers
    return {
        SHIFT: float(np.mean([layer.wasserstein for layer in found])),
        MEAN_DRIFT: float(np.mean([layer.mean_drift for layer in found])),
        DEVIATION_DRIFT: float(np.mean([layer.deviation_drift for layer in found])),
    }


def _accuracy(model: nn.Module, batch: Batch, batch_size: int) -> float:
    """The share of right outputs in training mode, noise included; of a copy, which counts no steps."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        right = sum(
            int((copied(images).argmax(1) == labels).sum())
            for images, labels in zip(*(part.split(batch_size) for part in batch), strict=True)
        )
    return right / len(batch[1])


STUDY = Study(
    name="santurkar-noisy-batch-norm",
    title="Does batch norm still help when noise brings the shift of distributions back?",
    citation="Santurkar, Tsipras, Ilyas, Madry 2018, How Does Batch Normalization Help Optimization?, Fig. 2",
    link="https://arxiv.org/abs/1805.11604",
    claim=(
        "With noise after each batch norm that moves and scales its outputs anew in every step, distributions are "
        "less stable than in a network without batch norm, and yet the network trains as well as with batch norm, "
        "and better than without."
    ),
    background=(
        "Batch norm was made to keep the distributions of what layers are given where they are while the layers "
        "below learn, less “internal covariate shift”. If that were why it helps, bringing shift back should undo "
        "it. The noise does so on purpose: in each step every channel's mean moves by up to half a standard "
        "deviation and its scale grows by up to a quarter, differently each time."
    ),
    setting=(
        "VGG11 (eight convolutions, one dense layer) for images of 32×32, each convolution followed by batch norm, "
        "by batch norm and noise, or by nothing, at the same initial weights (normal, variance 2 over the inputs of "
        f"a unit); cross-entropy, gradient steps at learning rate {LEARNING_RATE:g} without momentum. The noise is "
        "the paper's: outputs a become s·a + m with m ~ U(μ − 0.1, μ + 0.1), s ~ N(σ, 0.1²) for each sample, μ ~ "
        "U(−0.5, 0.5) and σ ~ U(1, 1.25) for each channel and step. Shift is the Wasserstein-1 distance between what "
        "a ReLU is given now and one look earlier, on the same images in training mode, in standard deviations, "
        "averaged over units and layers."
    ),
    differences=(
        "The paper shows distributions of some layers, and judges by its figures; distance and criteria are ours. "
        "At each layer 16 channels and 4 positions are compared.",
        "At the size small the network has an eighth of the channels and takes fewer steps than one of the paper's "
        "epochs has: the beginning of training is compared, not where it ends. Initial weights, and that there is "
        "no momentum, are our choice. Accuracy is over images that are trained on, in training mode, with the "
        "noise. Size smoke only shows that all of it runs.",
    ),
    sizes={
        "smoke": Size(
            "digits enlarged to 32×32, 3 channels in the first layer, 3 steps, looked at 3 times, 2 runs of each "
            "network",
            "4 s on one core",
            Settings(Images("digits", 256, 64), 3, steps=3, looks=3, runs=2, batch_size=32, looked_at=64),
        ),
        "small": Size(
            "8,192 images of CIFAR-10, 8 channels in the first layer, 240 steps, looked at 12 times, 2 runs of each "
            "network",
            "2 minutes on one core",
            Settings(Images("cifar10", 8192, 512), 8, steps=240, looks=12, runs=2),
        ),
        "paper": Size(
            "all of CIFAR-10, 64 channels in the first layer, 15,000 steps, looked at 150 times, 5 runs of each "
            "network",
            "hours on a GPU; not yet run by us",
            Settings(Images("cifar10", 50_000, 10_000), 64, steps=15_000, looks=150, runs=5, looked_at=2048),
        ),
    },
    points=_points,
    groups=sharing("network", "seed"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
