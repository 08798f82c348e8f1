"""Losses and accuracies on fixed batches, in the modes of training but for dropout, and nothing moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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
    with without_dropout(model):
        buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, kept in buffers:
                    buffer.copy_(kept)


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """The modes of training but for dropout, which is off; modes alone are put back on leaving."""
    with training_mode(model):
        for module in model.modules():
            module.training = module.training and not isinstance(module, _DROPPING)
        yield


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


@dataclass(frozen=True)
class Measured:
    """Mean loss over some batches, and mean share of hits, None without labels."""

    loss: float
    accuracy: float | None


def measured(model: nn.Module, loss: LossFunction, batches: Sequence[Pair], labelled: bool) -> Measured:
    """Mean over batches of equal size of the loss, and of the share of hits."""
    losses, hits = 0.0, 0.0
    with batch_mode(model), seeded_random_state(_SEED), torch.no_grad():
        for inputs, targets in batches:
            outputs = apply(model, inputs)
            losses += loss(outputs, targets).item()
            hits += share_of_hits(outputs, targets).item() if labelled else 0.0
    return Measured(losses / len(batches), hits / len(batches) if labelled else None)


def share_of_hits(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Share of samples, or of positions, whose largest output is their class."""
    return (outputs.argmax(1) == _classes(targets)).double().mean()


def _classes(targets: torch.Tensor) -> torch.Tensor:
    return targets.argmax(1) if targets.is_floating_point() else targets
