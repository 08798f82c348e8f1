"""Small networks twice: as modules, and by formula without nn.BatchNorm, with dense matrices by Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

EPS = 1e-5
Formula = Callable[[dict[str, Tensor], Tensor, "Norms"], Tensor]


@dataclass
class Norms:
    """Batch norm by formula: by the batch, by recorded constants, or by given running statistics."""

    statistics: str
    running: list[tuple[Tensor, Tensor]]
    recorded: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    call: int = 0

    def __call__(self, z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        channels = (1, -1) + (1,) * (z.dim() - 2)
        others = [0, *range(2, z.dim())]
        count = z.numel() / z.shape[1]
        if self.statistics == "running":
            mean, variance = self.running[self.call]
        elif self.call < len(self.recorded):
            mean, variance = self.recorded[self.call]
        else:
            mean = z.sum(others) / count
            variance = (z * z).sum(others) / count - mean**2
        self.call += 1
        self.last = (mean, variance)
        u = (z - mean.reshape(channels)) / (variance.reshape(channels) + EPS).sqrt()
        return gamma.reshape(channels) * u + beta.reshape(channels)


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm_one = nn.Linear(5, 6), nn.BatchNorm1d(6)
        self.two, self.norm_two = nn.Linear(6, 4), nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.norm_one(self.one(x)))
        return self.head(torch.nn.functional.softplus(self.norm_two(self.two(h))))


def dense_formula(p: dict[str, Tensor], x: Tensor, norm: Norms) -> Tensor:
    z = x @ p["one.weight"].T + p["one.bias"]
    h = norm(z, p["norm_one.weight"], p["norm_one.bias"]).tanh()
    z = h @ p["two.weight"].T + p["two.bias"]
    h = (1 + norm(z, p["norm_two.weight"], p["norm_two.bias"]).exp()).log()
    return h @ p["head.weight"].T + p["head.bias"]


class Convolutional(nn.Module):
    """The second and third norm are one module, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm_one = nn.Conv2d(2, 3, 3, stride=2), nn.BatchNorm2d(3)
        self.mix, self.norm_two = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm_one(self.one(x)))
        h = torch.sigmoid(self.norm_two(self.mix(h)))
        return self.head(self.norm_two(self.mix(h)).mean((2, 3)) ** 2)


def convolutional_formula(p: dict[str, Tensor], x: Tensor, norm: Norms) -> Tensor:
    patches = x.unfold(2, 3, 2).unfold(3, 3, 2)
    z = torch.einsum("ncijkl,ockl->noij", patches, p["one.weight"]) + p["one.bias"].reshape(1, -1, 1, 1)
    z = norm(z, p["norm_one.weight"], p["norm_one.bias"])
    h = z * (z > 0)
    for last in (False, True):
        z = torch.einsum("ncij,oc->noij", h, p["mix.weight"][:, :, 0, 0]) + p["mix.bias"].reshape(1, -1, 1, 1)
        z = norm(z, p["norm_two.weight"], p["norm_two.bias"])
        h = z if last else 1 / (1 + (-z).exp())
    return (h.sum((2, 3)) / h[0, 0].numel()) ** 2 @ p["head.weight"].T + p["head.bias"]


@dataclass(frozen=True)
class Case:
    """A module in float64, its formula, its data, and how often its norms are called with which running statistics."""

    model: nn.Module
    formula: Formula
    x: Tensor
    labels: Tensor
    norm_calls: tuple[str, ...]

    def batch(self, samples: slice) -> tuple[Tensor, Tensor]:
        return self.x[samples], self.labels[samples]

    def theta(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.model.parameters()])

    def outputs(self, statistics: str, x: Tensor) -> Callable[[Tensor], Tensor]:
        """θ ↦ f by formula."""
        layers = dict(self.model.named_modules())
        running = [(layers[name].running_mean, layers[name].running_var) for name in self.norm_calls]
        recorded: list[tuple[Tensor, Tensor]] = []
        if statistics == "frozen":
            recorded = self._record(x)

        def f(theta: Tensor) -> Tensor:
            shapes = {name: p.shape for name, p in self.model.named_parameters()}
            pieces = theta.split([shape.numel() for shape in shapes.values()])
            p = {
                name: piece.reshape(shape)
                for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
            }
            return self.formula(p, x, Norms(statistics, running, recorded))

        return f

    def _record(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        recorded: list[tuple[Tensor, Tensor]] = []

        class Recording(Norms):
            def __call__(self, z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
                value = super().__call__(z, gamma, beta)
                recorded.append(self.last)
                return value

        p = {name: value.detach() for name, value in self.model.named_parameters()}
        self.formula(p, x, Recording("batch", []))
        return recorded

    def matrix(self, statistics: str, kind: str, loss: Callable, x: Tensor, y: Tensor) -> np.ndarray:
        """The dense curvature matrix of one batch, by Jacobian and Hessian."""
        f, theta = self.outputs(statistics, x), self.theta()
        if kind == "hessian":
            return torch.autograd.functional.hessian(lambda t: loss(f(t), y), theta).numpy()
        out = f(theta)
        jacobian = torch.func.jacrev(f)(theta).reshape(out.numel(), -1)
        inner = torch.autograd.functional.hessian(lambda o: loss(o, y), out).reshape(out.numel(), out.numel())
        return (jacobian.T @ inner @ jacobian).numpy()


def squared(f: Tensor, y: Tensor) -> Tensor:
    return 0.5 * sum(((f[i] - torch.eye(f.shape[1]).to(f)[y[i]]) ** 2).sum() for i in range(len(f))) / len(f)


def mean_squared(f: Tensor, y: Tensor) -> Tensor:
    return ((f - torch.eye(f.shape[1]).to(f)[y]) ** 2).mean()


def cross_entropy(f: Tensor, y: Tensor) -> Tensor:
    return sum(torch.logsumexp(f[i], 0) - f[i, y[i]] for i in range(len(f))) / len(f)


def quartic(f: Tensor, y: Tensor) -> Tensor:
    """A loss that nobody recognises, with an indefinite output Hessian."""
    return ((f.T - y) ** 4).mean() / 12 + f.sin().sum() / len(f)


def _case(model: nn.Module, formula: Formula, shape: tuple[int, ...], norm_calls: tuple[str, ...]) -> Case:
    generator = torch.Generator().manual_seed(5)
    model = model.double()
    for p in model.parameters():
        p.data = p.data + 0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.copy_(torch.randn(layer.num_features, generator=generator))
            layer.running_var.copy_(torch.rand(layer.num_features, generator=generator) + 0.5)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return Case(model, formula, x, torch.arange(shape[0]) % 3, norm_calls)


def dense_case() -> Case:
    return _case(Dense(), dense_formula, (11, 5), ("norm_one", "norm_two"))


def convolutional_case() -> Case:
    return _case(Convolutional(), convolutional_formula, (9, 2, 7, 7), ("norm_one", "norm_two", "norm_two"))
