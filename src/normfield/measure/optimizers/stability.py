"""The matrix whose largest eigenvalue limits an optimizer's learning rate.

On a quadratic with Hessian G, with learning rates s·r (r relative, s common), preconditioner p, penalty a and decoupled
decay ω held, the modes θ_t = zᵗ·x of the steps in `update_rules` obey

    Σ_j |x_j|²·p_j/(s·r_j)·(z − q_j)/F_j(z) + x*(G + a)x = 0,   q = 1 − s·r·ω.

For a z ≠ ±1 on the unit circle every (z − q_j)/F_j(z) has an imaginary part of the sign of z's own, for each family
here, while x*(G + a)x is real: no mode leaves the unit circle but through z = −1 (or z = 1, where the curvature is not
positive and no rate is stable). At z = −1 the equation is 2x = s·A·x, with

    A = D^½(G + a)D^½ + r·ω,   D = r·c/p,   c = F(−1),

so that oscillations are damped for s < 2/λ_max(A), and only there. One group with one gain: A = c·P^-½(G + a)P^-½ + ω.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.optimizers.update_rules import Step


@dataclass(frozen=True)
class Weighting:
    """v ↦ w∘G(w∘v) + d∘v: a matrix seen in other coordinates, with a diagonal added; w and d have P entries."""

    weights: Tensor
    diagonal: Tensor

    def of(self, product: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The weighted matrix's product from the matrix's own."""
        return lambda vector: product(vector * self.weights) * self.weights + self.diagonal * vector


def _flat(values: Sequence[Tensor | float], parameters: Sequence[Tensor], like: Tensor) -> Tensor:
    """One value for every entry of every parameter, in float64 until the end."""
    wide = [
        torch.as_tensor(value, dtype=torch.float64, device=p.device).expand(p.shape).reshape(-1)
        for value, p in zip(values, parameters, strict=True)
    ]
    return torch.cat(wide).to(like)


def reference_rate(steps: Sequence[Step]) -> float:
    """The largest learning rate, in which the limit is given; 0 where all are 0."""
    return max(step.rate for step in steps)


def _relative(step: Step, reference: float) -> float:
    """r, the step's rate beside the reference; where all are 0, as before a warm-up, they count as equal."""
    return step.rate / reference if reference > 0 else 1.0


def preconditioned(steps: Sequence[Step], parameters: Sequence[Tensor], like: Tensor) -> Weighting:
    """P^-½(G + a)P^-½, the preconditioned curvature."""
    weights = [step.scale.double() ** -0.5 for step in steps]
    penalties = [step.penalty / step.scale.double() for step in steps]
    return _checked(Weighting(_flat(weights, parameters, like), _flat(penalties, parameters, like)))


def stability_matrix(steps: Sequence[Step], parameters: Sequence[Tensor], like: Tensor) -> Weighting:
    """A of this module's head."""
    reference = reference_rate(steps)
    rates = [_relative(step, reference) for step in steps]
    speeds = [rate * step.gain / step.scale.double() for rate, step in zip(rates, steps, strict=True)]
    added = [
        speed * step.penalty + rate * step.decay
        for speed, rate, step in zip(speeds, rates, steps, strict=True)
    ]
    return _checked(
        Weighting(_flat([speed**0.5 for speed in speeds], parameters, like), _flat(added, parameters, like))
    )


def _checked(weighting: Weighting) -> Weighting:
    if not (torch.isfinite(weighting.weights).all() and torch.isfinite(weighting.diagonal).all()):
        raise InvalidInput(
            expected="a positive, finite preconditioner",
            got="one that is zero or not finite for some parameters",
            instead="give the optimizer an eps above 0, and check that its steps were finite",
        )
    return weighting


def uniform(steps: Sequence[Step]) -> Step | None:
    """The one step whose gain, rate and decay all moving parameters share, or None."""
    moving = [step for step in steps if torch.isfinite(step.scale).any()]
    first = moving[0]
    same = all((s.rate, s.gain, s.decay) == (first.rate, first.gain, first.decay) for s in moving)
    return first if same else None
