"""Networks with the inputs that they are measured on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from normfield.data import load
from normfield.network import Network, convnet, mlp

OUTPUTS = 10


@dataclass(frozen=True)
class Case:
    """A kind of network and its inputs.

    Attributes
    ----------
    inputs
        "normal" (i.i.d., as the theory assumes) or the name of a data set.
    shape
        Of one input.
    width
        Units of each of three hidden layers; None for the convolutional network.
    channels
        Of each convolution; empty for the dense network.
    """

    inputs: str
    shape: tuple[int, ...]
    width: int | None = None
    channels: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """A few words for legends and tables."""
        kind = "dense" if self.width is not None else "convolutional"
        return f"{kind}, {'normal inputs' if self.inputs == 'normal' else self.inputs}"

    def network(self, gamma: float) -> Network:
        """Four affine layers, batch norm after each but the last [Wei, sec. 4]."""
        if self.width is None:
            return convnet(self.shape, self.channels, OUTPUTS, gamma=gamma)
        return mlp(self.shape[0], self.width, 4, OUTPUTS, gamma=gamma)

    def batch(self, samples: int, seed: int) -> Tensor:
        """Inputs (samples, *shape), drawn from the seed."""
        if self.inputs == "normal":
            return torch.randn(samples, *self.shape, generator=torch.Generator().manual_seed(seed))
        return load(self.inputs).subset(samples, seed).shaped(self.shape).inputs
