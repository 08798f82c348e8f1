"""The networks and data on which learning rates are suggested: none of them is one on which the rule was made.

The rule's constants (`normfield.train.suggestion`) come from other widths, depths, numbers of samples, batch sizes and
lengths, and from the digits; only the images' sources are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import normfield as nf

TEST_SAMPLES = 2048


@dataclass(frozen=True)
class Case:
    """A network, its data and how it is trained in full."""

    name: str
    make: Callable[[int], nn.Module]
    data: str
    shape: tuple[int, ...]
    samples: int
    loss: str
    epochs: int
    batch_size: int = 128
    momentum: float = 0.9

    @property
    def steps(self) -> int:
        """Of the full run."""
        return self.epochs * (self.samples // self.batch_size)

    def load(self) -> nf.DataSet:
        """Training images, and test images for the judge alone."""
        return nf.load(self.data, samples=self.samples).with_less_test(TEST_SAMPLES).shaped(self.shape)

    def __str__(self) -> str:
        return f"{self.name}, {self.data}, {self.loss}"


class _Block(nn.Module):
    """Batch norm, ReLU, convolution, twice, beside the identity or a 1 × 1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)])
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else None

    def forward(self, inputs: Tensor) -> Tensor:
        start = torch.relu(self.norms[0](inputs))
        skipped = inputs if self.shortcut is None else self.shortcut(start)
        return skipped + self.second(torch.relu(self.norms[1](self.first(start))))


class PreActResNet(nn.Module):
    """Three pre-activation blocks of 8, 16 and 16 channels on images halved by the stem."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, 2, 1, bias=False)
        self.blocks = nn.Sequential(_Block(8, 8, 1), _Block(8, 16, 2), _Block(16, 16, 2))
        self.norm, self.head = nn.BatchNorm2d(16), nn.Linear(16, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.blocks(self.stem(inputs)))).mean((2, 3)))


def _resnet(channels: int) -> Callable[[int], nn.Module]:
    def make(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return PreActResNet(channels)

    return make


def _made(network: nf.Network) -> Callable[[int], nn.Module]:
    return lambda seed: nf.build(network, seed=seed)


def _perceptron(inputs: int, batch_norm: bool) -> Callable[[int], nn.Module]:
    return _made(nf.mlp(inputs=inputs, width=100, depth=3, outputs=10, batch_norm=batch_norm))


_MNIST, _CIFAR = (1, 28, 28), (3, 32, 32)
_MLP, _PLAIN = "MLP, batch norm", "MLP, plain"
_CONV, _RESNET = "convnet, batch norm", "PreAct-ResNet"
_SQUARED, _ENTROPY = "squared", "cross_entropy"

CASES = (
    *(Case(_MLP, _perceptron(784, True), "mnist", (784,), 6400, loss, 4) for loss in (_SQUARED, _ENTROPY)),
    *(Case(_PLAIN, _perceptron(784, False), "mnist", (784,), 6400, loss, 4) for loss in (_SQUARED, _ENTROPY)),
    *(
        Case(_MLP, _perceptron(3072, True), "cifar10", (3072,), 5120, loss, 4)
        for loss in (_SQUARED, _ENTROPY)
    ),
    Case(_PLAIN, _perceptron(3072, False), "cifar10", (3072,), 5120, _ENTROPY, 4),
    Case(_CONV, _made(nf.convnet(_MNIST, (8, 16), 10)), "mnist", _MNIST, 3840, _SQUARED, 4),
    Case(_CONV, _made(nf.convnet(_CIFAR, (12, 16), 10)), "cifar10", _CIFAR, 3840, _ENTROPY, 4),
    Case(_RESNET, _resnet(1), "mnist", _MNIST, 2560, _ENTROPY, 5),
    Case(_RESNET, _resnet(3), "cifar10", _CIFAR, 2560, _SQUARED, 5),
)
