"""Both theorems at one call of a batch norm, with the numbers of autograd on one side and the formulas on the other.

Letters, for one unit: y its inputs and z = γŷ + β its outputs over all m samples and positions; ŷ = (y − mean)/σ,
σ² = var y + ε; g = ∂ℓ/∂z, ĝ = ∂ℓ/∂y; H = ∂²ℓ/∂z∂z, Ĥ = ∂²ℓ/∂y∂y; r = ‖ŷ‖²/m, which is 1 at ε = 0.

First order [Santurkar, Theorem 4.1]: ĝ = (γ/σ)(g − ⟨1, g⟩/m − ŷ⟨g, ŷ⟩/m), and ŷ is centred, so that
‖ĝ‖² = (γ²/σ²)(‖g‖² − ⟨1, g⟩²/m − (2 − r)⟨g, ŷ⟩²/m). At ε = 0 this is the theorem's right-hand side; else less.

Second order [Santurkar, Theorem 4.2]: with s = ⟨ŷ, ĝ⟩/m, which is 0 at ε = 0, the derivative of z along ĝ is
(γ/σ)(ĝ − sŷ) and the second one (γ/σ²)(−2sĝ + ŷ(3s² − ‖ĝ‖²/m)), hence
ĝᵀĤĝ = (γ²/σ²)(ĝ − sŷ)ᵀH(ĝ − sŷ) + (γ/σ²)(−2s⟨g, ĝ⟩ + ⟨g, ŷ⟩(3s² − ‖ĝ‖²/m)).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from normfield.measure.landscape.inequality_result import LayerInequality
from normfield.measure.landscape.normed_calls import NormedCall, by_unit, like_call


@dataclass(frozen=True, eq=False)
class Units:
    """What the theorems speak of, in float64: rows (C, m) ŷ, g and ĝ; γ, the mean of y and σ (C, 1)."""

    normalised: Tensor
    g: Tensor
    g_hat: Tensor
    gamma: Tensor
    mean: Tensor
    sigma: Tensor

    @classmethod
    def of(cls, call: NormedCall, g: Tensor, g_hat: Tensor) -> Units:
        """Read a call and the gradients at its output and its input."""
        y = by_unit(call.inputs)
        variance, mean = torch.var_mean(y, 1, correction=0, keepdim=True)
        sigma = (variance + call.eps).sqrt()
        return cls((y - mean) / sigma, by_unit(g), by_unit(g_hat), call.gamma[:, None], mean, sigma)

    @property
    def samples(self) -> int:
        """m."""
        return self.g.shape[1]

    @property
    def scale(self) -> Tensor:
        """γ²/σ² (C,)."""
        return (self.gamma / self.sigma).square()[:, 0]

    def first_order(self, on_normalised: Tensor | float) -> Tensor:
        """γ²/σ²·(‖g‖² − ⟨1, g⟩²/m − c⟨g, ŷ⟩²/m) for a coefficient c."""
        along = on_normalised * (self.g * self.normalised).sum(1).square() / self.samples
        return self.scale * (self.g.square().sum(1) - self.g.sum(1).square() / self.samples - along)


@dataclass(frozen=True, eq=False)
class SecondOrder:
    """Of some units: ĝᵀĤĝ by autograd, the theorem's right-hand side, the form for any ε, and the size of its terms."""

    measured: Tensor
    theorem: Tensor
    exact: Tensor
    size: Tensor


def _quadratic(gradient: Tensor, at: Tensor, direction: Tensor) -> float:
    """vᵀ(∂gradient/∂at)v; 0 where the gradient does not depend on it."""
    if not gradient.requires_grad:
        return 0.0
    (product,) = torch.autograd.grad(gradient, at, direction, retain_graph=True, materialize_grads=True)
    return float((product.double() * direction.double()).sum())


def _forms(call: NormedCall, gradient: Tensor, at: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
    """For each chosen unit, its row's quadratic form with the unit's own block of second derivatives."""
    found = [
        _quadratic(gradient, at, like_call(row[None], call, unit[None]))
        for row, unit in zip(rows, chosen, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64, device=rows.device)


def second_order(call: NormedCall, units: Units, g: Tensor, g_hat: Tensor, chosen: Tensor) -> SecondOrder:
    """Both sides for the chosen units; the gradients g and ĝ come with their graph."""
    m, v, normalised, at_output = (
        units.samples,
        units.g_hat[chosen],
        units.normalised[chosen],
        units.g[chosen],
    )
    s = (normalised * v).sum(1, keepdim=True) / m
    gamma, variance, scale = units.gamma[chosen, 0], units.sigma[chosen, 0].square(), units.scale[chosen]
    along, length = (at_output * normalised).sum(1), v.square().sum(1)
    inner = scale * _forms(call, g, call.outputs, v, chosen)
    shifted = scale * _forms(call, g, call.outputs, v - s * normalised, chosen)
    bent = gamma / variance * (3 * s[:, 0].square() - length / m) * along
    turned = gamma / variance * -2 * s[:, 0] * (at_output * v).sum(1)
    return SecondOrder(
        measured=_forms(call, g_hat, call.inputs, v, chosen),
        theorem=inner - gamma / variance * along * length / m,
        exact=shifted + bent + turned,
        size=shifted.abs() + bent.abs() + turned.abs(),
    )


def both_theorems(name: str, call: NormedCall, g: Tensor, g_hat: Tensor, most: int | None) -> LayerInequality:
    """The first theorem for every unit of a call, the second for those with the largest ĝ."""
    units = Units.of(call, g, g_hat)
    squared = units.g_hat.square().sum(1)
    count = len(squared) if most is None else min(most, len(squared))
    chosen = squared.argsort(descending=True, stable=True)[:count]
    curved = second_order(call, units, g, g_hat, chosen)
    at_output = units.g.square().sum(1)
    return LayerInequality(
        name=name,
        samples=units.samples,
        eps=call.eps,
        gamma=units.gamma[:, 0].cpu().numpy(),
        mean=units.mean[:, 0].cpu().numpy(),
        deviation=units.sigma[:, 0].cpu().numpy(),
        squared_gradient_at_output=at_output.cpu().numpy(),
        squared_gradient=squared.cpu().numpy(),
        bound=units.first_order(1.0).cpu().numpy(),
        exact=units.first_order(2 - units.normalised.square().mean(1)).cpu().numpy(),
        curvature_units=tuple(chosen.tolist()),
        curvature=curved.measured.cpu().numpy(),
        curvature_theorem=curved.theorem.cpu().numpy(),
        curvature_exact=curved.exact.cpu().numpy(),
        curvature_size=curved.size.cpu().numpy(),
    )
