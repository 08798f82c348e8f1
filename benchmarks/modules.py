"""Eight modules as users write them, small enough for a dense Hessian, in training mode and in use.

Each has seen two batches before, so that its running statistics are neither fresh nor the batch's own. Float64 from one
seed; the batch has 16 samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLES, CLASSES = 16, 3


@dataclass(frozen=True)
class Subject:
    """A module, its loss and its batch."""

    name: str
    model: nn.Module
    loss: Callable[[Any, Any], Tensor]
    inputs: Any
    targets: Any


def _mlp(tracked: bool, dropout: float = 0.0) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(6, 10), nn.BatchNorm1d(10, track_running_stats=tracked), nn.ReLU()]
    layers += [nn.Dropout(dropout)] if dropout else []
    layers += [nn.Linear(10, 8), nn.BatchNorm1d(8, track_running_stats=tracked), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(8, CLASSES))


def _convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, CLASSES),
    )


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.norm_one = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.two, self.norm_two = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm_two(self.two(F.relu(self.norm_one(self.one(x))))))


def _residual() -> nn.Module:
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)]
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), _Block(4), *head)


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.TransformerEncoderLayer(8, 2, 10, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(1))


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, CLASSES)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.two(torch.tanh(self.one(x)))))


class _TwoInputs(nn.Module):
    """Takes one dict, as many training loops pass it on."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(6, 7), nn.Linear(4, 7), nn.Linear(7, CLASSES)

    def forward(self, batch: Any) -> Tensor:
        return self.head(torch.tanh(self.left(batch["left"]) + self.right(batch["right"])))


def focal(outputs: Tensor, labels: Tensor) -> Tensor:
    """A custom loss: (1 − p_y)²·(−log p_y), averaged."""
    log_p = outputs.log_softmax(1).gather(1, labels[:, None])
    return -((1 - log_p.exp()).square() * log_p).mean()


MAKERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP, default batch norm": (lambda: _mlp(tracked=True), (6,)),
    "MLP, track_running_stats=False": (lambda: _mlp(tracked=False), (6,)),
    "convnet, batch norm": (_convnet, (1, 8, 8)),
    "residual network, batch norm": (_residual, (1, 8, 8)),
    "batch norm and dropout": (lambda: _mlp(tracked=True, dropout=0.3), (6,)),
    "transformer encoder": (_Encoder, (5, 8)),
    "shared weights": (_Tied, (6,)),
    "dict input, custom loss": (_TwoInputs, ()),
}


def _inputs(shape: tuple[int, ...]) -> Any:
    if shape:
        return torch.randn(SAMPLES, *shape).double()
    return {"left": torch.randn(SAMPLES, 6).double(), "right": torch.randn(SAMPLES, 4).double()}


def subject(name: str, seed: int = 0) -> Subject:
    """A fresh copy of one of them, the same every time."""
    make, shape = MAKERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make().double().train()
        with torch.no_grad():
            for _ in range(2):
                model(_inputs(shape))
        inputs, labels = _inputs(shape), torch.randint(CLASSES, (SAMPLES,))
    return Subject(name, model, nn.CrossEntropyLoss() if shape else focal, inputs, labels)
