"""The network and the batch that every tool here is given.

784–512–512–10 with batch norm, 671,754 parameters, PyTorch's own initialisation; 512 inputs x ~ N(0, 1), labels
uniform over ten classes, softmax cross-entropy, float32, all from one seed. Batch norm has
``track_running_stats=False``, because curvlinops raises on the default one and PyHessian's ``eval()`` would make it
another function; normfield takes either.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Size:
    """Widths from the inputs to the outputs, and samples in the batch."""

    widths: tuple[int, ...]
    batch: int

    def __str__(self) -> str:
        return f"{'–'.join(map(str, self.widths))}, batch {self.batch}"


YARDSTICK = Size((784, 512, 512, 10), 512)


@dataclass(frozen=True)
class Problem:
    """A module in training mode, its loss, and one batch."""

    model: nn.Module
    loss: nn.Module
    inputs: Tensor
    labels: Tensor

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters, in the module's order."""
        return list(self.model.parameters())


def _network(widths: tuple[int, ...]) -> nn.Sequential:
    *hidden, outputs = widths[1:]
    layers: list[nn.Module] = []
    for inputs, width in zip(widths, hidden, strict=False):
        layers += [nn.Linear(inputs, width), nn.BatchNorm1d(width, track_running_stats=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], outputs))


def problem(size: Size, seed: int, dtype: torch.dtype = torch.float32) -> Problem:
    """Network and batch of a size, drawn in float32 whatever the dtype they are given in."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _network(size.widths)
        inputs = torch.randn(size.batch, size.widths[0])
        labels = torch.randint(size.widths[-1], (size.batch,))
    return Problem(model.to(dtype), nn.CrossEntropyLoss(), inputs.to(dtype), labels)
