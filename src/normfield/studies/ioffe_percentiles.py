"""Ioffe and Szegedy, Fig. 1: percentiles of a sigmoid's inputs while a network trains on MNIST."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from normfield.data import DataSet, load
from normfield.data.random_state import seeded_random_state
from normfield.measure.shift import input_percentiles
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.halted_training import endless_batches, evenly, halts
from normfield.studies.image_training.images import held_out
from normfield.studies.percentiles.checks import verdict
from normfield.studies.percentiles.figures import draw, tabulate
from normfield.studies.percentiles.table import ACCURACY, MOVED, NORMED, PERCENTILES, PLAIN, SPREAD, UNIT

LAYERS, BATCH_SIZE, LEARNING_RATE = 3, 60, 0.1
#: Standard deviation of the initial weights.
WEIGHTS = 0.1
#: Test images on which percentiles are taken.
LOOKED_AT = 1000


@dataclass(frozen=True)
class Settings:
    """Which data, how wide a network, how long it trains and how often it is looked at, and how many pairs."""

    data: str
    width: int
    steps: int
    looks: int
    runs: int

    @property
    def at(self) -> list[int]:
        """Steps at which the network is looked at."""
        return evenly(self.steps, self.looks)


def sigmoid_network(inputs: int, width: int, outputs: int, seed: int, *, batch_norm: bool) -> nn.Module:
    """Three hidden layers of sigmoids, batch norm in front of each or nothing; normal weights, biases 0."""
    layers: list[nn.Module] = []
    before = inputs
    with seeded_random_state(seed):
        for _ in range(LAYERS):
            layers.append(_dense(before, width))
            layers += [nn.BatchNorm1d(width)] if batch_norm else []
            layers.append(nn.Sigmoid())
            before = width
        return nn.Sequential(*layers, _dense(before, outputs))


def _dense(before: int, after: int) -> nn.Linear:
    made = nn.Linear(before, after)
    nn.init.normal_(made.weight, std=WEIGHTS)
    nn.init.zeros_(made.bias)
    return made


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"network": network, "seed": seed + k, "step": step}
        for network in (NORMED, PLAIN)
        for k in range(settings.runs)
        for step in settings.at
    ]


def _measure(settings: Settings, group: Rows) -> Sequence[Row]:
    """One run."""
    data, seed = _flat(load(settings.data, quiet=True)), int(number(group[0], "seed"))
    model = sigmoid_network(
        data.input_shape[0], settings.width, data.outputs, seed, batch_norm=group[0]["network"] == NORMED
    )
    return list(_looks(model, data, settings, seed))


def _flat(data: DataSet) -> DataSet:
    tests, _ = held_out(data)
    return replace(data, inputs=_rows(data.inputs), test_inputs=_rows(tests))


def _rows(images: object) -> Tensor:
    """(samples, pixels)."""
    return torch.as_tensor(images).flatten(1)


def _looks(model: nn.Module, data: DataSet, settings: Settings, seed: int) -> Iterator[Row]:
    """The rest of a row at each look."""
    images, labels = held_out(data)
    first: np.ndarray | None = None
    batches = endless_batches(data, BATCH_SIZE, seed)
    for _ in halts(model, batches, settings.at, learning_rate=LEARNING_RATE):
        found = _percentiles(model, images[:LOOKED_AT], labels[:LOOKED_AT], settings.width)
        first = found[1] if first is None else first
        yield {
            **dict(zip(UNIT, found[:, 0].tolist(), strict=True)),
            SPREAD: float((found[2] - found[0]).mean()),
            MOVED: float(np.sqrt(np.square(found[1] - first).mean())),
            ACCURACY: _accuracy(model, images, labels),
        }


def _percentiles(model: nn.Module, images: Tensor, labels: Tensor, width: int) -> np.ndarray:
    """Of what the last sigmoids are given (percentiles, units), in training mode."""
    last = [name for name, layer in model.named_modules() if isinstance(layer, nn.Sigmoid)][-1]
    found = input_percentiles(model, (images, labels), percentiles=PERCENTILES, layers=[last], units=width)
    return found.layers[0].by_unit.T


def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of test images that are right, in inference mode."""
    model.eval()
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).float().mean().item()
    model.train()
    return right


STUDY = Study(
    name="ioffe-percentiles",
    title="Do the inputs of a sigmoid stay put with batch norm?",
    citation="Ioffe, Szegedy 2015, Batch Normalization: Accelerating Deep Network Training, Fig. 1",
    link="https://arxiv.org/abs/1502.03167",
    claim=(
        "In a network of three hidden layers of 100 sigmoids on MNIST batch norm makes the distribution of what a "
        "sigmoid of the last hidden layer is given much more stable in the course of training, in mean and in "
        "variance, and the network trains faster and to a higher test accuracy."
    ),
    background=(
        "While a network learns, the inputs of each layer change because the layers below do; the paper calls it "
        "internal covariate shift, and made batch norm to reduce it. Its first experiment follows one unit of the "
        "last hidden layer: the 15th, 50th and 85th percentile of its inputs over a set of images, step after step, "
        "which show where the distribution is and how wide."
    ),
    setting=(
        "Three hidden layers of sigmoids and a dense layer of ten outputs, batch norm in front of each sigmoid or "
        "nothing, the same initial weights (normal, standard deviation 0.1, biases 0); cross-entropy, batches of "
        f"{BATCH_SIZE}, gradient steps at learning rate {LEARNING_RATE:g} without momentum. Percentiles are over "
        "1,000 test images (digits: all of them), in training mode; test accuracy is over all test images, in "
        "inference mode. The unit drawn is the first of the layer, chosen beforehand; the verdict is over all units."
    ),
    differences=(
        "The paper takes 50,000 steps and names neither the learning rate nor the variance of the small initial "
        "weights. It judges by its figure; that “much more stable” means at most half, in logarithms for the "
        "spread, is our reading.",
        "Much of the change without batch norm is the growth from small initial weights, which batch norm "
        "normalises away from the start; a check beside the verdict therefore leaves out the first fifth of "
        "training.",
    ),
    sizes={
        "smoke": Size(
            "digits, 20 sigmoids in each layer, 400 steps, looked at 11 times, 2 pairs of runs",
            "3 s on one core",
            Settings("digits", 20, 400, 11, 2),
        ),
        "small": Size(
            "MNIST, 100 sigmoids in each layer, 20,000 steps, looked at 41 times, 3 pairs of runs",
            "2 minutes on one core",
            Settings("mnist", 100, 20_000, 41, 3),
        ),
        "paper": Size(
            "MNIST, 100 sigmoids in each layer, 50,000 steps, looked at 101 times, 5 pairs of runs",
            "about 8 minutes on one core; not yet run by us",
            Settings("mnist", 100, 50_000, 101, 5),
        ),
    },
    points=_points,
    groups=sharing("network", "seed"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
