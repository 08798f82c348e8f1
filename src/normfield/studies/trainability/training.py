"""Short trainings of deep networks, each step's learning rate in proportion to the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from normfield.data import DataSet, load
from normfield.nets import build
from normfield.network import Network
from normfield.studies.frame import Row
from normfield.train.run import train_once

#: What the learning rates of all steps of a training add up to: 1e-5·B over ten passes of 60,000 images [Yang, Fig. 2].
PATH = 6.0


@dataclass(frozen=True)
class Training:
    """How every network of a map trains.

    Attributes
    ----------
    data
        Name of a data set, its images as vectors.
    images, tests
        How many of the training and of the test images.
    epochs
        Passes over the training images.
    """

    data: str
    images: int
    tests: int
    epochs: int

    def rate(self, batch_size: int) -> float:
        """η of plain gradient steps, in proportion to B."""
        return PATH * batch_size / (self.images * self.epochs)

    def read(self) -> DataSet:
        """The images as vectors."""
        return load(self.data, self.images, quiet=True).flattened().with_less_test(self.tests)


def trained(network: Network, data: DataSet, training: Training, batch_size: int, seed: int) -> Row:
    """How a network ended: whether it diverged, and the share of test images that it gets right.

    One that diverged gets none right but by guessing.
    """
    model = build(network, seed).to("cuda" if torch.cuda.is_available() else "cpu")
    run = train_once(
        model,
        data,
        learning_rate=training.rate(batch_size),
        momentum=0.0,
        loss="cross_entropy",
        batch_size=batch_size,
        epochs=training.epochs,
        seed=seed,
    )
    guessing = 1 / data.outputs
    accuracy = guessing if run.test_accuracy is None else run.test_accuracy
    return {"diverged": int(run.status == "diverged"), "trained_accuracy": accuracy}
