"""How large the two summands of every residual block are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normfield.nets.modules import ResidualBlock


@dataclass(frozen=True)
class Moments:
    """The two summands of a block x ← x + branch(x).

    Attributes
    ----------
    skip, branch
        Mean square of x and of branch(x), over samples, units and positions.
    skip_spread, branch_spread
        Their variance over the batch (and positions), averaged over units.
    """

    skip: float
    branch: float
    skip_spread: float
    branch_spread: float


def block_moments(model: nn.Module, inputs: Tensor) -> list[Moments]:
    """Of every residual block, in order, in one forward pass in training mode.

    Parameters
    ----------
    model
        A network that was built with `normfield.nets.build`; its running statistics are moved.
    inputs
        (samples, *shape).
    """
    found: list[Moments] = []
    blocks = [module for module in model.modules() if isinstance(module, ResidualBlock)]
    handles = [block.register_forward_hook(_keeping(found)) for block in blocks]
    try:
        with torch.no_grad():
            model.train()(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _keeping(found: list[Moments]) -> Callable[..., None]:
    def keep(_: nn.Module, given: Any, output: Tensor) -> None:
        skip, total = given[0].double(), output.double()
        branch = total - skip
        found.append(Moments(_mean_square(skip), _mean_square(branch), _spread(skip), _spread(branch)))

    return keep


def _mean_square(x: Tensor) -> float:
    return float(x.square().mean())


def _spread(x: Tensor) -> float:
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    return float(x.var(dim=axes, correction=0).mean())
