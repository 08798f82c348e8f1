"""How descents on a linear model went: losses, effective steps, local rates, and which learning rates work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report.plain_json import json_text
from normfield.theory.linear_models.drawing import bound_figure, effective_figure, loss_figure
from normfield.theory.linear_models.plateau import Plateau, plateau
from normfield.theory.linear_models.problems import Problem
from normfield.theory.linear_models.steps.method import Method
from normfield.theory.linear_models.words import status_words

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure as PlotlyFigure

_DIVERGED = 1e3  # times f(0) − f*


@dataclass(frozen=True, eq=False)
class Descent:
    r"""Descents by one method, over starts and learning rates; r recorded steps come first where there are any.

    Attributes
    ----------
    problem, method, learning_rates, steps, tolerance
        What was asked.
    recorded_steps : array (r,)
        The steps at which the next five are recorded; 0 is the start.
    excess_losses : array (r, …)
        f − f*; for least squares from the distance to u, so that it is right far below round-off of f.
    direction_gaps : array (r, …)
        ρ(w) − ρ* = ‖u − (wᵀg/σ²)w‖²_S ≥ 0 with ρ(w) = −(wᵀg)²/wᵀSw, the error of the direction [Kohler].
    effective_steps : array (r, …)
        ε̂ of the step that led there: ε(a/σ)(wᵀg/σ²)c₁ with batch norm, ε without.
    norms : array (r, …)
        ‖w‖.
    steps_needed
        Steps until f − f* was at most ``tolerance`` of f(0) − f*; infinite where they were not enough.
    settled_from
        The step from which on ε̂λ_max < 2; infinite where the last one was not.
    least_norm_growth
        The least ‖w⁺‖²/‖w‖² − 1 of all steps: with batch norm 0 or more, to round-off.
    predicted_rates
        The factor of √(f − f*) per step at the last effective step, by theory; NaN where
        theory has none.
    measured_rates
        The same as it was while √(f − f*) fell from 10⁻⁸ to 10⁻¹³ of its value at w̃ = 0 (halfspaces: from 10⁻³ to
        10⁻⁶); NaN where it did not fall so far.
    weights : array (…, d)
        w̃ at the end, which predicts w̃ᵀx.
    """

    problem: Problem
    method: Method
    learning_rates: Any
    steps: int
    tolerance: float
    recorded_steps: np.ndarray
    excess_losses: Any
    direction_gaps: Any
    effective_steps: Any
    norms: Any
    steps_needed: Any
    settled_from: Any
    least_norm_growth: Any
    predicted_rates: Any
    measured_rates: Any
    weights: np.ndarray

    @property
    def losses(self) -> Any:
        """f at the recorded steps (r, …)."""
        return self.problem.least_loss + self.excess_losses

    @property
    def status(self) -> np.ndarray:
        """ "converged" to the tolerance, "diverged" (above 10³ times f(0) − f*, or not finite) or "running"."""
        last = self.excess_losses[-1]
        with np.errstate(invalid="ignore"):
            within = last <= _DIVERGED * self.problem.objective.scale
        kept = np.where(np.isfinite(self.steps_needed), "converged", "running")
        return np.where(within, kept, "diverged")

    @property
    def bounds(self) -> np.ndarray:
        """(1 − μ/L)^{2t}(ρ₀ − ρ*) at the recorded steps (r, …), which bounds GDNP's `direction_gaps` [Kohler].

        μ and L are the least and largest eigenvalue of S. It is a theorem for "normalised" on least squares, and on
        halfspaces of Gaussian inputs.
        """
        values = self.problem.spectrum.eigenvalues
        kept = (
            np.exp(2 * self.recorded_steps * np.log1p(-values[0] / values[-1]))
            if values[0] < values[-1]
            else (self.recorded_steps == 0).astype(float)
        )
        return np.multiply.outer(kept, self.direction_gaps[0])

    @property
    def plateau(self) -> Plateau:
        """The learning rates that need at most 10 times the steps of the best; of several starts the slowest counts.

        Raises
        ------
        InvalidInput
            There is no row of learning rates.
        """
        rates = self._row("a plateau")
        order = np.argsort(rates)
        slowest = self.steps_needed.reshape(-1, len(rates)).max(axis=0)
        return plateau(rates[order], slowest[order])

    def to_frame(self) -> pandas.DataFrame:
        """One row per start and learning rate."""
        import pandas as pd

        return pd.DataFrame(self._columns())

    def to_json(self) -> str:
        """JSON object: the problem's numbers and one entry per run; a number that is missing is null with a reason."""
        columns = {name: values.tolist() for name, values in self._columns().items()}
        runs = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        values = self.problem.spectrum.eigenvalues
        found = {
            "method": self.method.name,
            "steps": self.steps,
            "tolerance": self.tolerance,
            "least_loss": self.problem.least_loss,
            "caveat": self.problem.caveat,
            "condition_number": self.problem.spectrum.condition_number,
            "largest_eigenvalue": values[-1],
            "runs": runs,
        }
        return json_text(found)

    def plot(self) -> PlotlyFigure:
        """Excess loss against the step, a line for each of at most 8 runs."""
        return loss_figure(self).to_plotly()

    def plot_effective_steps(self) -> PlotlyFigure:
        """Effective step ε̂λ_max at the end, against the learning rate, with the limit of stability.

        Raises
        ------
        InvalidInput
            There is no row of learning rates.
        """
        self._row("effective steps to draw")
        return effective_figure(self).to_plotly()

    def plot_bound(self) -> PlotlyFigure:
        """Kohler's bound beside the direction's error over the run, for each of at most 8 runs."""
        return bound_figure(self).to_plotly()

    def __str__(self) -> str:
        return status_words(self)

    def _row(self, what: str) -> np.ndarray:
        if np.ndim(self.learning_rates) != 1:
            raise InvalidInput(
                expected=f"a row of learning rates for {what}",
                got="one" if self.learning_rates is not None else "a method without any",
                instead="give learning_rates such as np.geomspace(1e-4, 10, 51)",
            )
        return self.learning_rates

    def _columns(self) -> dict[str, np.ndarray]:
        shape = np.shape(self.steps_needed)
        rates = np.nan if self.learning_rates is None else self.learning_rates
        runs = int(np.prod(shape))
        each = np.broadcast_to(rates, shape).ravel()
        several = len(shape) > np.ndim(rates)
        starts = np.repeat(np.arange(shape[0]), runs // shape[0]) if several else np.zeros(runs, dtype=int)
        last = {
            "excess_loss": self.excess_losses[-1],
            "steps_needed": self.steps_needed,
            "effective_step": self.effective_steps[-1],
            "settled_from": self.settled_from,
            "predicted_rate": self.predicted_rates,
            "measured_rate": self.measured_rates,
        }
        found = {name: np.broadcast_to(values, shape).ravel() for name, values in last.items()}
        return {
            "start": starts,
            "learning_rate": each,
            "status": np.broadcast_to(self.status, shape).ravel(),
        } | found
