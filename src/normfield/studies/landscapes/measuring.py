"""Train a network, and look at the landscape along the gradient at some of its steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from normfield.measure.landscape import Landscape, landscape
from normfield.studies.frame import Row
from normfield.studies.halted_training import Batch, LossFunction, halts
from normfield.studies.landscapes.table import (
    CHANGE,
    GRADIENT,
    HIGH,
    LARGEST,
    LOSS,
    LOW,
    RANGE,
    SMOOTHNESS,
)


@dataclass(frozen=True)
class Walk:
    """How a network trains, and which lengths along the gradient are tried at which of its steps.

    Attributes
    ----------
    learning_rate
        η of plain gradient steps.
    shortest, longest
        Of the lengths a, in multiples of η.
    lengths
        How many, evenly spread on a logarithmic scale.
    at
        Steps of training, rising.
    """

    learning_rate: float
    shortest: float
    longest: float
    lengths: int
    at: Sequence[int]

    @property
    def tried(self) -> list[float]:
        """The lengths a."""
        return (self.learning_rate * np.geomspace(self.shortest, self.longest, self.lengths)).tolist()


def looks(model: nn.Module, batches: Iterator[Batch], walk: Walk, loss: LossFunction) -> Iterator[Row]:
    """The rest of a row at each of the steps, on the batch that the step takes; gaps once the loss is not finite."""
    for _, batch in halts(model, batches, walk.at, learning_rate=walk.learning_rate, loss=loss):
        yield _look(model, batch, walk, loss) if _is_finite(model, batch, loss) else _NOTHING


_NOTHING: Row = {"diverged": 1, **dict.fromkeys((LOSS, GRADIENT, LOW, HIGH, RANGE, CHANGE, SMOOTHNESS))}


def _is_finite(model: nn.Module, batch: Batch, loss: LossFunction) -> bool:
    """Whether loss and gradient are: where they are not there is nothing to walk along; of a copy, as buffers move."""
    copied = copy.deepcopy(model)
    value = loss(copied(batch[0]), batch[1])
    gradients = torch.autograd.grad(value, list(copied.parameters()))
    return math.isfinite(value.item()) and math.isfinite(sum(float(g.square().sum()) for g in gradients))


def _look(model: nn.Module, batch: Batch, walk: Walk, loss: LossFunction) -> Row:
    found = landscape(model, batch, loss, steps=walk.tried)
    low, high = kept(found.losses.min()), kept(found.losses.max())
    return {
        "diverged": 0,
        LOSS: found.initial_loss,
        GRADIENT: found.gradient_norm,
        LOW: low,
        HIGH: high,
        RANGE: high - low,
        CHANGE: kept(found.gradient_predictiveness.max()),
        SMOOTHNESS: _smoothness(found),
    }


def _smoothness(found: Landscape) -> float:
    """Over all lengths, one whose gradient is not finite among them."""
    if not np.isfinite(found.gradient_predictiveness).all():
        return LARGEST
    return kept(found.effective_smoothness)


def kept(value: float) -> float:
    """A number as the table holds it: what is too large, infinite or not a number is LARGEST."""
    return float(value) if value <= LARGEST else LARGEST
