"""Torch's own optimizers with their preconditioner held, so that on a quadratic they are linear.

The parameters are made tiny, so that new gradients change no second moment, and before every step what the optimizer
keeps for its preconditioner is set to what its own update turns into the held value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

TINY = 1e-12
MEMORIES = ("exp_avg", "momentum_buffer")


def _before(optimizer: Optimizer, group: dict[str, Any], name: str, held: Tensor) -> Tensor:
    """What the next step's update makes `held` of, when the gradient adds nothing."""
    kind = type(optimizer).__name__
    if name == "step":
        return held - 1
    if name == "exp_avg_sq":
        return held / group["betas"][1]
    if name in ("square_avg", "grad_avg"):
        return held / group["alpha"]
    if name == "mu_product":
        assert kind == "NAdam"
        return held
    return held  # sum, max_exp_avg_sq


def hold(optimizer: Optimizer) -> Callable[[], None]:
    """Zero the momenta and give what to call before every step."""
    kept = []
    for group in optimizer.param_groups:
        for p in group["params"]:
            for name, value in optimizer.state[p].items():
                if name in MEMORIES:
                    value.zero_()
                else:
                    kept.append((group, p, name, value.clone()))

    def put_back() -> None:
        for group, p, name, held in kept:
            before = _before(optimizer, group, name, held)
            if name == "mu_product":
                step = float(optimizer.state[p]["step"])
                before = held / (group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"])))
            optimizer.state[p][name].copy_(before)

    return put_back


def warm_up(optimizer: Optimizer, parameters: list[nn.Parameter], steps: int) -> None:
    """Steps on random gradients of different sizes, so that there is a state worth holding."""
    generator = torch.Generator().manual_seed(11)
    sizes = [torch.rand(p.shape, generator=generator, dtype=p.dtype) + 0.3 for p in parameters]
    for _ in range(steps):
        for p, size in zip(parameters, sizes, strict=True):
            p.grad = size * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        optimizer.step()


def growth(
    optimizer: Optimizer,
    parameters: list[nn.Parameter],
    gradients: Callable[[], list[Tensor]],
    origin: list[Tensor],
    factor: float,
    steps: int,
) -> float:
    """‖θ − origin‖ after so many held steps with every learning rate times `factor`, over what it began with."""
    put_back = hold(optimizer)
    generator = torch.Generator().manual_seed(12)
    with torch.no_grad():
        for p, at in zip(parameters, origin, strict=True):
            p.copy_(at + TINY * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor

    def distance() -> float:
        return (
            sum(float((p.detach() - at).square().sum()) for p, at in zip(parameters, origin, strict=True))
            ** 0.5
        )

    begin = distance()
    for _ in range(steps):
        for p, gradient in zip(parameters, gradients(), strict=True):
            p.grad = gradient
        put_back()
        optimizer.step()
    return distance() / begin
