"""Gradient descent through batch norm: on a scale a and weights w that predict a·wᵀx/‖w‖_S [Cai]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.theory.linear_models.objectives.objective import Local, Objective
from normfield.theory.linear_models.reading import one_number, positive
from normfield.theory.linear_models.steps.gradient import contraction


@dataclass(frozen=True, eq=False)
class NormalisedState:
    """Weights (d, n), their σ = ‖w‖_S, and the scale a, one run per column."""

    direction: np.ndarray
    deviation: np.ndarray
    scale: np.ndarray
    predictor: np.ndarray
    effective: np.ndarray


@dataclass(frozen=True)
class BatchNormSteps:
    r"""Gradient descent through batch norm, the predictor being a·wᵀx/σ with σ² = wᵀSw.

    .. math::
        a \leftarrow a - \varepsilon_a \partial_a f,\qquad w \leftarrow w - \varepsilon\nabla_w f,

    which on least squares is a ← a + ε_a(wᵀg/σ − a), w ← w + ε(a/σ)(g − (wᵀg/σ²)Hw) [Cai]. The norm of w only grows,
    which lowers the effective step ε̂ = ε(a/σ)(wᵀg/σ²) until it is stable: it converges for every ε > 0, at
    max|1 − ε̂λ_i(H*)| per step.

    Parameters
    ----------
    scale_rate
        ε_a in (0, 1], the learning rate of a.
    start_scale
        a₀.
    """

    scale_rate: float = 1.0
    start_scale: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale_rate", positive("scale_rate", self.scale_rate, most=1.0))
        object.__setattr__(self, "start_scale", one_number("start_scale", self.start_scale))

    @property
    def name(self) -> str:
        return "batch norm"

    @property
    def takes_rates(self) -> bool:
        return True

    def begin(self, objective: Objective, starts: np.ndarray, rates: np.ndarray) -> NormalisedState:
        """Start with the given weights and the scale a₀."""
        scale = np.full(starts.shape[1], self.start_scale)
        return normalised(objective, starts, scale, np.zeros(starts.shape[1]))

    def advance(
        self, objective: Objective, state: NormalisedState, rates: np.ndarray, number: int
    ) -> NormalisedState:
        """One step of scales and weights of every run, both from the same gradient."""
        w, deviation = state.direction, state.deviation
        gradient, slope = objective.pull(state.predictor)
        across = np.einsum("dn,dn->n", w, gradient) / deviation
        step = rates * state.scale / deviation
        effective = step * slope * (objective.correlation @ w) / deviation**2
        # ∇_w f = (a/σ)(∇f − Sw·wᵀ∇f/σ²), at right angles to w
        gradient -= objective.eigenvalues[:, None] * w * (across / deviation)
        gradient *= step
        return normalised(objective, w - gradient, state.scale - self.scale_rate * across, effective)

    def local_rates(self, local: Local, effective: np.ndarray) -> np.ndarray:
        """max|1 − ε̂λ_i(H*)|, and at least 1 − ε_a [Cai]."""
        return np.maximum(
            contraction(local.projected, effective), abs(1 - self.scale_rate * local.scale_curvature)
        )


def normalised(
    objective: Objective, w: np.ndarray, scale: np.ndarray, effective: np.ndarray
) -> NormalisedState:
    """The state with these weights and scales."""
    deviation = np.sqrt(objective.eigenvalues @ np.square(w))
    return NormalisedState(w, deviation, scale, w * (scale / deviation), effective)
