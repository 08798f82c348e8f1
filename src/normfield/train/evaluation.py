"""Losses and accuracies on fixed batches, in the modes of training but for dropout, and nothing moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from normfield.data.batching import Pair
from normfield.data.random_state import seeded_random_state
from normfield.samples import apply
from normfield.train.losses import LossFunction

_SEED = 0
_DROPPING = (_DropoutNd, nn.MultiheadAttention, nn.RNNBase)


@contextmanager
def batch_mode(model: nn.Module) -> Iterator[None]:
    """The modes of training but for dropout, which is off; modes and buffers are put back on leaving."""
    with training_mode(model):
        buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
        for module in model.modules():
            module.training = module.training and not isinstance(module, _DROPPING)
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, kept in buffers:
                    buffer.copy_(kept)


@contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    """The modes in which a model trains; every submodule is put back into its own on leaving.

    A model in training mode trains with its submodules as they are: one that is in eval mode, such as a batch norm kept
    at its running statistics for fine-tuning, was put there on purpose. A model in eval mode is put into training mode
    as a whole by its own ``train``.
    """
    modes = [(module, module.training) for module in model.modules()]
    if not model.training:
        model.train()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def mean_loss(model: nn.Module, loss: LossFunction, batches: Sequence[Pair]) -> float:
    """Mean of the loss over batches of equal size."""
    with batch_mode(model), seeded_random_state(_SEED), torch.no_grad():
        return sum(loss(apply(model, inputs), targets).item() for inputs, targets in batches) / len(batches)


def accuracy(model: nn.Module, batches: Sequence[Pair]) -> float:
    """Share of samples, or of positions, whose largest output is their class."""
    with batch_mode(model), seeded_random_state(_SEED), torch.no_grad():
        hits = sum(
            (apply(model, inputs).argmax(1) == _classes(targets)).double().mean().item()
            for inputs, targets in batches
        )
    return hits / len(batches)


def _classes(targets: torch.Tensor) -> torch.Tensor:
    return targets.argmax(1) if targets.is_floating_point() else targets
