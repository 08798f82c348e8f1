"""Plain gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.theory.linear_models.objectives.objective import Local, Objective


@dataclass(frozen=True, eq=False)
class PlainState:
    """Where gradient descent stands, one run per column."""

    predictor: np.ndarray
    effective: np.ndarray

    @property
    def direction(self) -> np.ndarray:
        return self.predictor


@dataclass(frozen=True)
class GradientSteps:
    r"""Plain gradient descent, w ← w − ε∇f(w), without a norm.

    On least squares it contracts by max|1 − ελ_i(H)| per step and diverges above 2/λ_max(H).
    """

    @property
    def name(self) -> str:
        return "gradient descent"

    @property
    def takes_rates(self) -> bool:
        return True

    def begin(self, objective: Objective, starts: np.ndarray, rates: np.ndarray) -> PlainState:
        """Start at the given points."""
        return PlainState(starts.copy(), rates)

    def advance(self, objective: Objective, state: PlainState, rates: np.ndarray, number: int) -> PlainState:
        """One step of every run."""
        step = objective.pull(state.predictor).gradient
        step *= rates
        return PlainState(state.predictor - step, rates)

    def local_rates(self, local: Local, effective: np.ndarray) -> np.ndarray:
        """max|1 − ελ_i| over the ends of the spectrum."""
        return contraction(local.curvature, effective)


def contraction(eigenvalues: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """max|1 − ε̂λ_i| (n,) over eigenvalues, which rise; 0 where there are none."""
    if not len(eigenvalues):
        return np.zeros(np.shape(effective))
    ends = eigenvalues[[0, -1], None]
    return np.abs(1 - ends * effective).max(axis=0)
