"""Dense curvature matrices of a function of θ written without torch.nn, by torch.func."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

Named = dict[str, Tensor]


def half_squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).sum() / (2 * len(targets))


def theta_of(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1).double() for p in model.parameters() if p.requires_grad])


def named(model: nn.Module, theta: Tensor) -> Named:
    """θ cut into the trainable parameters, beside the frozen ones."""
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    pieces = theta.split([p.numel() for p in trainable.values()])
    found = {n: piece.reshape(p.shape) for (n, p), piece in zip(trainable.items(), pieces, strict=True)}
    return {name: p.detach() for name, p in model.named_parameters()} | found


def eigenvalues(
    model: nn.Module, outputs: Callable[[Named], Tensor], loss: Callable[[Tensor], Tensor], kind: str
) -> np.ndarray:
    """All eigenvalues of the GGN or Hessian of loss(outputs(θ)), descending."""
    theta = theta_of(model)

    def f(t: Tensor) -> Tensor:
        return outputs(named(model, t)).reshape(-1)

    shape = outputs(named(model, theta)).shape
    if kind == "hessian":
        matrix = torch.func.hessian(lambda t: loss(f(t).reshape(shape)))(theta)
    else:
        jacobian = torch.func.jacrev(f)(theta)
        inner = torch.func.hessian(lambda o: loss(o.reshape(shape)))(f(theta))
        matrix = jacobian.T @ inner @ jacobian
    return torch.linalg.eigvalsh(matrix).flip(0).numpy()
