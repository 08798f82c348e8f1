"""Stochastic gradient descent with momentum and weight decay, accuracies after each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normfield.data import DataSet
from normfield.studies.image_training.augmentation import augmented
from normfield.studies.image_training.images import held_out


@dataclass(frozen=True)
class Recipe:
    """How a network trains: torch's SGD at a fixed learning rate, on images shifted and mirrored anew each time."""

    epochs: int
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 128


@dataclass(frozen=True)
class Accuracies:
    """Shares of images that are right.

    Attributes
    ----------
    train
        Over the epoch's batches as they came, in training mode, before each step.
    test
        Over the test images after the epoch, with batch norm's running statistics.
    """

    train: float
    test: float


def accuracies_by_epoch(model: nn.Module, data: DataSet, recipe: Recipe, seed: int) -> Iterator[Accuracies]:
    """Train a module in place, epoch by epoch.

    Parameters
    ----------
    model
        On the device on which it trains.
    data
        Images with class labels; a last short batch of each epoch is left out.
    recipe
        How.
    seed
        Of the order of the images, and of how they are shifted and mirrored.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    for _ in range(recipe.epochs):
        train = _epoch(model, data, optimizer, recipe.batch_size, generator)
        yield Accuracies(train, _inferred(model, data, recipe.batch_size))


def _epoch(
    model: nn.Module,
    data: DataSet,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    generator: torch.Generator,
) -> float:
    """One pass over the images; the share that was right."""
    model.train()
    device = next(model.parameters()).device
    batches = data.batches(batch_size, generator)
    right = torch.zeros((), dtype=torch.int64, device=device)
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        outputs = model(augmented(images, generator))
        optimizer.zero_grad()
        F.cross_entropy(outputs, labels).backward()
        optimizer.step()
        right += _right(outputs, labels)
    return right.item() / (len(batches) * batch_size)


def _inferred(model: nn.Module, data: DataSet, batch_size: int) -> float:
    """The share of test images that are right, in inference mode."""
    model.eval()
    device = next(model.parameters()).device
    images, labels = held_out(data)
    with torch.no_grad():
        right = sum(
            _right(model(some.to(device)), wanted.to(device)).item()
            for some, wanted in zip(images.split(batch_size), labels.split(batch_size), strict=True)
        )
    return right / len(images)


def _right(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs.argmax(1) == labels).sum()
