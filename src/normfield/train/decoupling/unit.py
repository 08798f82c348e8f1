"""The loss as a function of what one unit puts out, all else held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from normfield.samples import Samples, apply
from normfield.train.decoupling.layers import Layer
from normfield.train.losses import LossFunction


@dataclass
class Objective:
    """The full-batch loss of a network, and how often it was differentiated.

    One pass that gives a gradient, and one that gives a derivative forwards, count as one gradient evaluation each.
    """

    model: nn.Module
    loss: LossFunction
    inputs: Samples
    targets: Samples
    gradient_evaluations: int = field(default=0, init=False)

    def value(self) -> float:
        """The loss of the network as it stands; no gradient is evaluated."""
        with torch.no_grad():
            return float(self.loss(apply(self.model, self.inputs), self.targets))

    def inputs_of(self, layer: Layer) -> Tensor:
        """What enters a layer, with a 1 for the bias (m, d)."""
        kept: list[Tensor] = []
        hook = layer.module.register_forward_pre_hook(lambda _, given: kept.append(given[0].detach()))
        try:
            with torch.no_grad():
                apply(self.model, self.inputs)
        finally:
            hook.remove()
        return layer.augmented(kept[0])


class Slope(NamedTuple):
    """The loss, and ∂f/∂z (m,), which holds the 1/m of the mean."""

    loss: float
    by_outputs: Tensor


@dataclass(frozen=True, eq=False)
class Unit:
    """One unit of a layer: the loss f over its outputs z = Xw̃ (m,) before the activation."""

    objective: Objective
    layer: Layer
    index: int

    def slope(self, z: Tensor) -> Slope:
        """f and ∂f/∂z."""
        self.objective.gradient_evaluations += 1
        leaf = z.detach().requires_grad_()
        with torch.enable_grad():
            value = self.objective.loss(self._outputs(leaf), self.objective.targets)
            return Slope(value.item(), torch.autograd.grad(value, leaf)[0])

    def bends(self, z: Tensor) -> Tensor:
        """Gauss–Newton second derivatives ∂²f/∂z² of each sample (m,): tᵀ∇²ℓ t with t = ∂outputs/∂z."""
        self.objective.gradient_evaluations += 1
        with torch.no_grad(), forward_ad.dual_level():
            dual = forward_ad.make_dual(z.detach(), torch.ones_like(z))
            outputs, tangent = forward_ad.unpack_dual(self._outputs(dual))
        if tangent is None:
            return torch.zeros_like(z)
        product = self._loss_curvature(outputs.detach(), tangent.detach())
        return (product * tangent).flatten(1).sum(1)

    def _loss_curvature(self, outputs: Tensor, tangent: Tensor) -> Tensor:
        """∇²ℓ t, over outputs alone."""
        leaf = outputs.clone().requires_grad_()
        with torch.enable_grad():
            value = self.objective.loss(leaf, self.objective.targets)
            slope = torch.autograd.grad(value, leaf, create_graph=True)[0]
            if not slope.requires_grad:
                return torch.zeros_like(outputs)
            return torch.autograd.grad(slope, leaf, tangent)[0]

    def _outputs(self, z: Tensor) -> Any:
        with self._replaced(z):
            return apply(self.objective.model, self.objective.inputs)

    @contextmanager
    def _replaced(self, z: Tensor) -> Iterator[None]:
        """The network with this unit's outputs z."""
        i = self.index

        def put(_: nn.Module, __: Any, outputs: Tensor) -> Tensor:
            return torch.cat([outputs[:, :i], z[:, None], outputs[:, i + 1 :]], 1)

        hook = self.layer.module.register_forward_hook(put)
        try:
            yield
        finally:
            hook.remove()
