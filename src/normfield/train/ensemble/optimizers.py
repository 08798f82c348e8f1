"""Steps of all members at once, each with its own learning rate and momentum; torch's formulas and defaults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from normfield.train.ensemble.stack import Named

_BETA_2, _ALPHA, _EPS = 0.999, 0.99, 1e-8


@dataclass(frozen=True)
class Rule:
    """An optimizer for K members.

    Attributes
    ----------
    moments : tuple of str
        What it keeps of each parameter, in the parameter's shape and zero at first.
    step : callable
        (parameter, gradient, its moments, pace) changes a parameter and its moments in place.
    """

    moments: tuple[str, ...]
    step: Callable[[Tensor, Tensor, Sequence[Tensor], Pace], None]

    def start(self, trained: Named) -> Named:
        """The state before the first step: moments by "moment of parameter", and the steps taken, (K,)."""
        first = next(iter(trained.values()))
        count = torch.zeros(len(first), dtype=torch.float64, device=first.device)
        moments = {f"{m} of {name}": torch.zeros_like(t) for name, t in trained.items() for m in self.moments}
        return moments | {"steps": count}

    def advance(self, trained: Named, gradients: Named, state: Named, rates: Tensor, momenta: Tensor) -> None:
        """Change all parameters and the state in place."""
        pace = Pace(rates, momenta, state["steps"].add_(1))
        for name, parameter in trained.items():
            own = [state[f"{moment} of {name}"] for moment in self.moments]
            self.step(parameter, gradients[name], own, pace)


@dataclass(frozen=True)
class Pace:
    """η and μ of each member, and the number of this step from 1; all (K,) in float64."""

    rates: Tensor
    momenta: Tensor
    steps: Tensor


def _along(values: Tensor, like: Tensor) -> Tensor:
    """One number for each member, of the shape (K, 1, …)."""
    return values.to(like).view(-1, *(1,) * (like.dim() - 1))


def _heavy_ball(parameter: Tensor, gradient: Tensor, moments: Sequence[Tensor], pace: Pace) -> None:
    """θ ← θ − ηv, v ← μv + ∇L: ``torch.optim.SGD``."""
    (velocity,) = moments
    velocity.mul_(_along(pace.momenta, velocity)).add_(gradient)
    parameter.sub_(velocity * _along(pace.rates, velocity))


def _adam(parameter: Tensor, gradient: Tensor, moments: Sequence[Tensor], pace: Pace) -> None:
    """θ ← θ − η m̂/(√v̂ + ε): ``torch.optim.Adam`` with β₁ = μ, β₂ = 0.999, ε = 1e-8."""
    mean, square = moments
    mean.lerp_(gradient, 1 - _along(pace.momenta, mean))
    square.mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
    rate = _along(pace.rates / (1 - pace.momenta**pace.steps), mean)
    unbiased = square / _along(1 - _BETA_2**pace.steps, square)
    parameter.sub_(rate * mean / (unbiased.sqrt() + _EPS))


def _rmsprop(parameter: Tensor, gradient: Tensor, moments: Sequence[Tensor], pace: Pace) -> None:
    """θ ← θ − ηb, b ← μb + ∇L/(√v + ε): ``torch.optim.RMSprop`` with α = 0.99, ε = 1e-8 and momentum μ."""
    velocity, square = moments
    square.mul_(_ALPHA).addcmul_(gradient, gradient, value=1 - _ALPHA)
    _heavy_ball(parameter, gradient / (square.sqrt() + _EPS), [velocity], pace)


RULES: dict[str, Rule] = {
    "sgd": Rule(("velocity",), _heavy_ball),
    "adam": Rule(("mean", "square"), _adam),
    "rmsprop": Rule(("velocity", "square"), _rmsprop),
}
