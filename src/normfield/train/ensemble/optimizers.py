"""Steps of all members at once, each with its own learning rate and momentum; torch's formulas and defaults."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from normfield.train.ensemble.stack import Named

_BETA_2, _ALPHA, _EPS = 0.999, 0.99, 1e-8


class Rule(Protocol):
    """An optimizer's state for K members."""

    def __init__(self, trained: Named, rates: Tensor, momenta: Tensor) -> None: ...

    def step(self, trained: Named, gradients: Named) -> None:
        """Change the parameters in place."""
        ...

    def keep(self, chosen: Tensor) -> None:
        """Go on with some members only."""
        ...


def _along(values: Tensor, like: Tensor) -> Tensor:
    """One number for each member, of the shape (K, 1, …)."""
    return values.to(like).view(-1, *(1,) * (like.dim() - 1))


class HeavyBall:
    """θ ← θ − ηv, v ← μv + ∇L: ``torch.optim.SGD``."""

    def __init__(self, trained: Named, rates: Tensor, momenta: Tensor) -> None:
        self._rates, self._momenta = rates, momenta
        self._velocity = {name: torch.zeros_like(t) for name, t in trained.items()}

    def step(self, trained: Named, gradients: Named) -> None:
        """θ ← θ − ηv."""
        for name, velocity in self._velocity.items():
            velocity.mul_(_along(self._momenta, velocity)).add_(gradients[name])
            trained[name].sub_(velocity * _along(self._rates, velocity))

    def keep(self, chosen: Tensor) -> None:
        """Go on with some members only."""
        self._rates, self._momenta = self._rates[chosen], self._momenta[chosen]
        self._velocity = {name: t[chosen] for name, t in self._velocity.items()}


class Adam:
    """``torch.optim.Adam`` with β₁ = μ, β₂ = 0.999, ε = 1e-8."""

    def __init__(self, trained: Named, rates: Tensor, momenta: Tensor) -> None:
        self._rates, self._momenta, self._steps = rates, momenta, 0
        self._mean = {name: torch.zeros_like(t) for name, t in trained.items()}
        self._square = {name: torch.zeros_like(t) for name, t in trained.items()}

    def step(self, trained: Named, gradients: Named) -> None:
        """θ ← θ − η m̂/(√v̂ + ε)."""
        self._steps += 1
        for name, mean in self._mean.items():
            gradient, square = gradients[name], self._square[name]
            mean.lerp_(gradient, 1 - _along(self._momenta, mean))
            square.mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
            rate = _along(self._rates / (1 - self._momenta**self._steps), mean)
            trained[name].sub_(rate * mean / ((square / (1 - _BETA_2**self._steps)).sqrt_() + _EPS))

    def keep(self, chosen: Tensor) -> None:
        """Go on with some members only."""
        self._rates, self._momenta = self._rates[chosen], self._momenta[chosen]
        self._mean = {name: t[chosen] for name, t in self._mean.items()}
        self._square = {name: t[chosen] for name, t in self._square.items()}


class RMSProp:
    """``torch.optim.RMSprop`` with α = 0.99, ε = 1e-8 and momentum μ."""

    def __init__(self, trained: Named, rates: Tensor, momenta: Tensor) -> None:
        self._ball = HeavyBall(trained, rates, momenta)
        self._square = {name: torch.zeros_like(t) for name, t in trained.items()}

    def step(self, trained: Named, gradients: Named) -> None:
        """θ ← θ − ηb, b ← μb + ∇L/(√v + ε)."""
        scaled = {}
        for name, square in self._square.items():
            gradient = gradients[name]
            square.mul_(_ALPHA).addcmul_(gradient, gradient, value=1 - _ALPHA)
            scaled[name] = gradient / (square.sqrt() + _EPS)
        self._ball.step(trained, scaled)

    def keep(self, chosen: Tensor) -> None:
        """Go on with some members only."""
        self._ball.keep(chosen)
        self._square = {name: t[chosen] for name, t in self._square.items()}


RULES: dict[str, type[Rule]] = {"sgd": HeavyBall, "adam": Adam, "rmsprop": RMSProp}
