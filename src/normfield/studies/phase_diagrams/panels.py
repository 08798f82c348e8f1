"""One map: which networks are trained on which images, and the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normfield.data import DataSet, load
from normfield.network import Network, convnet, mlp

_NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "digits"}
_SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "digits": (1, 8, 8)}
_OUTPUTS = 10


@dataclass(frozen=True)
class Images:
    """A named data set, and how many images of it are trained on and tested; None for all."""

    data: str
    trained: int | None = None
    tested: int | None = None

    @property
    def name(self) -> str:
        """As people write it."""
        return _NAMES[self.data]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        return _SHAPES[self.data]

    def load(self) -> DataSet:
        """The images, standardised by one mean and one standard deviation.

        Raises
        ------
        DataUnavailable
            They are not here and cannot be had.
        """
        found = load(self.data, samples=self.trained)
        return found if self.tested is None else found.with_less_test(self.tested)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Networks of four affine layers, or of convolutions and a dense head, over a grid.

    Attributes
    ----------
    images
        What is trained on and tested.
    across
        Values of the number of the network that varies.
    rates
        log₁₀η, rising.
    restarts, epochs
        Runs in each cell, and how often each sees the images.
    width
        Units of each of three hidden layers; None for a convolutional network.
    channels
        Of each convolution, 3×3 with stride 2 and no padding; empty for a dense network.
    """

    images: Images
    across: tuple[float, ...]
    rates: tuple[float, ...]
    restarts: int
    epochs: int
    width: int | None = None
    channels: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """A few words for legends and tables."""
        kind = "convolutional" if self.width is None else "fully connected"
        return f"{kind}, {self.images.name}"

    def network(self, *, batch_norm: bool, gamma: float = 1.0, weight_variance: float = 2.0) -> Network:
        """The architecture of [Wei, sec. 4], σ_b² = 0.5 and β = 0."""
        shape, own = self.images.shape, (batch_norm, gamma, "relu", weight_variance)
        if self.width is None:
            return convnet(shape, self.channels, _OUTPUTS, *own)
        return mlp(math.prod(shape), self.width, 4, _OUTPUTS, *own)


def steps(first: float, last: float, step: float) -> tuple[float, ...]:
    """Equally far apart, both ends included."""
    return tuple(round(float(value), 3) for value in np.arange(first, last + step / 2, step))


def named(panels: Sequence[Panel], name: object) -> Panel:
    """The panel of that name."""
    return next(panel for panel in panels if panel.name == name)
