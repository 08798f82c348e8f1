"""Nesterov's accelerated gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.theory.linear_models.objectives.objective import Local, Objective
from normfield.theory.linear_models.steps.moving import MovingState, checked_momentum, largest_root


@dataclass(frozen=True)
class NesterovSteps:
    r"""Accelerated gradient descent, v = w + μ_t(w − w′), w ← v − ε∇f(v), with w′ the point before [Nesterov].

    Parameters
    ----------
    momentum
        μ in [0, 1), the same in every step; None is μ_t = (t − 1)/(t + 2), for which there is no local rate.
    """

    momentum: float | None = None

    def __post_init__(self) -> None:
        if self.momentum is not None:
            object.__setattr__(self, "momentum", checked_momentum(self.momentum))

    @property
    def name(self) -> str:
        return "accelerated gradient descent"

    @property
    def takes_rates(self) -> bool:
        return True

    def begin(self, objective: Objective, starts: np.ndarray, rates: np.ndarray) -> MovingState:
        """Start at rest."""
        return MovingState(starts, starts, rates)

    def advance(
        self, objective: Objective, state: MovingState, rates: np.ndarray, number: int
    ) -> MovingState:
        """One step of every run."""
        momentum = (number - 1) / (number + 2) if self.momentum is None else self.momentum
        ahead = state.predictor + momentum * (state.predictor - state.before)
        return MovingState(ahead - rates * objective.pull(ahead).gradient, state.predictor, rates)

    def local_rates(self, local: Local, effective: np.ndarray) -> np.ndarray:
        """The largest root's modulus of z² − (1 + μ)(1 − ελ)z + μ(1 − ελ); NaN of a momentum that grows."""
        if self.momentum is None:
            return np.full(np.shape(effective), np.nan)
        kept = 1 - np.multiply.outer(local.curvature, effective)
        return largest_root((1 + self.momentum) * kept, self.momentum * kept)
