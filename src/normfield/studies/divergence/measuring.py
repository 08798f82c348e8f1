"""Losses along the step, channel moments along the update, and how gradients of one batch agree."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from normfield.measure.landscape import landscape
from normfield.measure.signals import GradientCoherence, channel_moments, gradient_coherence, output_gradients
from normfield.studies.architectures.residual import ResidualBlock
from normfield.studies.divergence.table import AGREEMENT, LARGEST, LOSS, MEAN, OUTPUT, VARIANCE
from normfield.studies.halted_training import Batch, halts

#: Kind, place and where it is at → value.
Values = dict[tuple[str, int, float], float]


def chosen_blocks(blocks: int, most: int) -> list[int]:
    """At most so many numbers of blocks, counted from 1, evenly spread, the first and the last among them."""
    return sorted({1 + round(k * (blocks - 1) / (most - 1)) for k in range(most)})


def losses_along_steps(
    model: nn.Module, batches: Iterator[Batch], count: int, lengths: Sequence[float], learning_rate: float
) -> Values:
    """L(x − a∇L(x))/L(x) of the first batches, as the network trains at a small learning rate."""
    found: Values = {}
    for k, batch in halts(model, batches, range(count), learning_rate=learning_rate):
        along = landscape(model, batch, "cross_entropy", steps=lengths)
        found |= {
            (LOSS, k + 1, float(a)): kept(value)
            for a, value in zip(lengths, along.relative_losses, strict=True)
        }
    return found


def moments_along_update(
    model: nn.Module, batch: Batch, length: float, percents: Sequence[float], blocks: Sequence[int]
) -> Values:
    """Mean over channels of |mean| and of variance of each block's last convolution, a share of the update made."""
    update = _update(model, batch, length)
    names = names_of_blocks(model)
    found: Values = {}
    for percent in percents:
        channels = channel_moments(_moved(model, update, percent / 100), batch)
        for block in blocks:
            layer = channels[f"{names[block - 1]}.conv2"]
            found[VARIANCE, block, percent] = kept(layer.variances.mean())
            found[MEAN, block, percent] = kept(np.abs(layer.means).mean())
    return found


def names_of_blocks(model: nn.Module) -> list[str]:
    """In order."""
    return [name for name, layer in model.named_modules() if isinstance(layer, ResidualBlock)]


def output_gradients_of_images(model: nn.Module, batch: Batch, count: int) -> Values:
    """Of the loss of each of the first images by its outputs: the batch's loss is their mean."""
    found = len(batch[1]) * output_gradients(model, batch, "cross_entropy").matrix
    return {
        (OUTPUT, image + 1, float(label)): kept(found[image, label])
        for image in range(count)
        for label in range(found.shape[1])
    }


def agreements_of_kernels(model: nn.Module, batch: Batch, blocks: Sequence[int]) -> Values:
    """|Σ t|/Σ|t| over the images and positions that a kernel's gradient sums over, in each block's last convolution."""
    found, names = gradient_coherence(model, batch, "cross_entropy"), names_of_blocks(model)
    return {(AGREEMENT, block, 0.0): kept(_share(found, f"{names[block - 1]}.conv2")) for block in blocks}


def _share(found: GradientCoherence, name: str) -> float:
    """NaN where no gradient reaches the layer."""
    share = found[name].coherence
    return math.nan if share is None else share


def _update(model: nn.Module, batch: Batch, length: float) -> list[torch.Tensor]:
    """Length times gradient, of each parameter; of a copy, since running statistics would move."""
    copied = copy.deepcopy(model)
    value = F.cross_entropy(copied(batch[0]), batch[1])
    return [length * gradient for gradient in torch.autograd.grad(value, list(copied.parameters()))]


def _moved(model: nn.Module, update: Sequence[torch.Tensor], share: float) -> nn.Module:
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for parameter, change in zip(moved.parameters(), update, strict=True):
            parameter.sub_(share * change)
    return moved


def kept(value: float) -> float:
    """A number as the table holds it: what is too large, infinite or not a number is LARGEST."""
    return float(value) if value <= LARGEST else LARGEST
