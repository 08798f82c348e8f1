"""Gradient descent with momentum: the heavy ball."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.theory.linear_models.objectives.objective import Local, Objective
from normfield.theory.linear_models.steps.moving import MovingState, checked_momentum, largest_root


@dataclass(frozen=True)
class HeavyBallSteps:
    r"""Heavy ball, w ← w − ε∇f(w) + μ(w − w′) with w′ the point before.

    On least squares it contracts by the larger root of z² − (1 + μ − ελ)z + μ and diverges above 2(1 + μ)/λ_max(H).

    Parameters
    ----------
    momentum
        μ in [0, 1).
    """

    momentum: float = 0.9

    def __post_init__(self) -> None:
        object.__setattr__(self, "momentum", checked_momentum(self.momentum))

    @property
    def name(self) -> str:
        return "heavy ball"

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
        at = state.predictor
        after = at - rates * objective.pull(at).gradient + self.momentum * (at - state.before)
        return MovingState(after, at, rates)

    def local_rates(self, local: Local, effective: np.ndarray) -> np.ndarray:
        """The largest root's modulus over all eigenvalues."""
        moved = np.multiply.outer(local.curvature, effective)
        return largest_root(1 + self.momentum - moved, np.full_like(moved, self.momentum))
