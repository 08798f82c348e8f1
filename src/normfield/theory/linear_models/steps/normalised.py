"""Kohler's descent in normalised parameters (GDNP): steps without a learning rate, scales by their best value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.theory.linear_models.objectives.objective import HALVINGS, Local, Objective
from normfield.theory.linear_models.reading import whole
from normfield.theory.linear_models.steps.batch_norm import NormalisedState, normalised
from normfield.theory.linear_models.steps.gradient import contraction


@dataclass(frozen=True)
class NormalisedSteps:
    r"""Gradient descent in normalised parameters (GDNP), whose steps follow from the largest eigenvalue L of S.

    .. math::
        w \leftarrow w - s_t\nabla_w f,\qquad s_t = -\frac{\|w\|_S^3}{L\,a\,h},\quad h = (u^\top w)c_1,

    and a by its best value, found on least squares in closed form and on halfspaces by bisection of ∂_a f = 0
    [Kohler]. For Gaussian inputs, ∇f = c₁u + c₂Sw̃, the directions are those of least squares whatever the loss, and
    ρ_t − ρ* ≤ (1 − μ/L)^{2t}(ρ₀ − ρ*) with μ the least eigenvalue of S.

    Parameters
    ----------
    halvings
        T_s, of the bisection.
    """

    halvings: int = HALVINGS

    def __post_init__(self) -> None:
        object.__setattr__(self, "halvings", whole("halvings", self.halvings))

    @property
    def name(self) -> str:
        return "normalised steps (GDNP)"

    @property
    def takes_rates(self) -> bool:
        return False

    def begin(self, objective: Objective, starts: np.ndarray, rates: np.ndarray) -> NormalisedState:
        """Start with the given weights and their best scale."""
        return self._scaled(objective, starts)

    def advance(
        self, objective: Objective, state: NormalisedState, rates: np.ndarray, number: int
    ) -> NormalisedState:
        """One step of the weights of every run, then their best scale."""
        w, deviation = state.direction, state.deviation
        gradient, slope = objective.pull(state.predictor)
        across = np.einsum("dn,dn->n", w, gradient) / deviation**2
        gradient -= objective.eigenvalues[:, None] * w * across
        # s_t·(a/σ) with u = −g: the scale a cancels, as it does in [Kohler]
        gradient *= deviation**2 / (objective.eigenvalues[-1] * (objective.correlation @ w) * slope)
        return self._scaled(objective, w - gradient)

    def local_rates(self, local: Local, effective: np.ndarray) -> np.ndarray:
        """max|1 − λ_i(H*)/L|."""
        return contraction(local.projected, effective)

    def _scaled(self, objective: Objective, w: np.ndarray) -> NormalisedState:
        deviation = np.sqrt(objective.eigenvalues @ np.square(w))
        effective = np.full(w.shape[1], 1 / objective.eigenvalues[-1])
        return normalised(objective, w, objective.best_scale(w / deviation, self.halvings), effective)
