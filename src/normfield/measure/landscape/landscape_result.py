"""What a walk along the gradient answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.measure.landscape.shown import gradient_figure, loss_figure
from normfield.report import Figure
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

DIVERGED = 1e3
"""Relative loss from which a step counts as diverging [Bjorck, Section 3]."""


def _range(values: np.ndarray) -> tuple[float, float]:
    """Least and largest of the finite values; NaN where there is none."""
    kept = values[np.isfinite(values)]
    return (float(kept.min()), float(kept.max())) if len(kept) else (math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class Landscape:
    """Loss and gradient at points x − a·d, where d is the gradient g = ∇ℓ(x) unless another direction was given.

    Attributes
    ----------
    steps : numpy.ndarray
        a, ascending.
    losses : numpy.ndarray
        ℓ(x − a·d); infinite or NaN where the loss is.
    gradient_predictiveness : numpy.ndarray
        ‖g − ∇ℓ(x − a·d)‖: how much the gradient changes; small means that it predicts the loss far ahead.
    distances : numpy.ndarray
        ‖a·d‖, as the parameters really moved in their precision.
    initial_loss, gradient_norm : float
        ℓ(x) and ‖g‖.
    direction : str
        "gradient", or "given".
    learning_rate : float or None
        Whose half to fourfold the steps are; None where they were given.
    gradient_evaluations : int
        How often the gradient of all batches was computed.
    loss, statistics : str
        What was measured, and with which batch-norm statistics.
    samples, batches, dropped_samples : int
        On what; a last short batch is dropped and its samples counted.
    seconds : float
    assumes : tuple of str
        What the numbers rest on beside these, in words.
    """

    steps: np.ndarray
    losses: np.ndarray
    gradient_predictiveness: np.ndarray
    distances: np.ndarray
    initial_loss: float
    gradient_norm: float
    direction: str
    learning_rate: float | None
    gradient_evaluations: int
    loss: str
    statistics: str
    samples: int
    batches: int
    dropped_samples: int
    seconds: float
    assumes: tuple[str, ...] = ()

    @property
    def loss_range(self) -> tuple[float, float]:
        """The least and the largest finite loss over the steps."""
        return _range(self.losses)

    @property
    def gradient_range(self) -> tuple[float, float]:
        """The least and the largest finite gradient predictiveness over the steps."""
        return _range(self.gradient_predictiveness)

    @property
    def smoothness(self) -> np.ndarray:
        """‖g − ∇ℓ(x − a·d)‖/‖a·d‖ of each step; NaN where nothing moved or the gradient is not finite."""
        usable = (self.distances > 0) & np.isfinite(self.gradient_predictiveness)
        missing = np.full(len(self.steps), np.nan)
        return np.divide(self.gradient_predictiveness, self.distances, out=missing, where=usable)

    @property
    def effective_smoothness(self) -> float:
        """The largest smoothness over the steps at which there is one; NaN where there is none."""
        return _range(self.smoothness)[1]

    @property
    def relative_losses(self) -> np.ndarray:
        """ℓ(x − a·d)/ℓ(x); NaN where ℓ(x) is not positive."""
        if self.initial_loss <= 0:
            return np.full(len(self.losses), np.nan)
        return self.losses / self.initial_loss

    @property
    def diverging_step(self) -> float | None:
        """The smallest step whose loss is not finite or at least 10³ times the first; None where there is none."""
        diverging = ~np.isfinite(self.losses) | (self.relative_losses >= DIVERGED)
        return float(self.steps[np.argmax(diverging)]) if diverging.any() else None

    def to_frame(self) -> pd.DataFrame:
        """One row for each step."""
        import pandas as pd

        return pd.DataFrame(self._columns()).assign(loss_name=self.loss, statistics=self.statistics)

    def _columns(self) -> dict[str, np.ndarray]:
        return {
            "step": self.steps,
            "loss": self.losses,
            "relative_loss": self.relative_losses,
            "gradient_predictiveness": self.gradient_predictiveness,
            "smoothness": self.smoothness,
            "distance": self.distances,
        }

    def _reasons(self) -> list[str]:
        """Why numbers are missing."""
        found = []
        if not np.isfinite(self.losses).all():
            found.append("losses: not finite at the larger steps")
        if self.initial_loss <= 0:
            found.append("relative_losses: the loss at the start is not positive")
        if math.isnan(self.effective_smoothness):
            words = (
                "the gradient is zero" if self.gradient_norm == 0 else "no step moved to a finite gradient"
            )
            found.append(f"effective_smoothness: {words}")
        elif np.isnan(self.smoothness).any():
            found.append(
                "smoothness: some steps do not move the parameters, or end where no gradient is finite"
            )
        if self.diverging_step is None:
            found.append("diverging_step: no step diverges")
        if self.learning_rate is None:
            found.append("learning_rate: steps were given")
        return found

    def to_json(self) -> str:
        """Every attribute and property under its name, as a JSON object, with the reasons why some are null."""
        names = ("loss_range", "gradient_range", "smoothness", "effective_smoothness", "relative_losses")
        content: dict[str, Any] = dict(vars(self))
        content |= {name: getattr(self, name) for name in (*names, "diverging_step")}
        reasons = self._reasons()
        return json.dumps(
            finite(content | ({"reason": "; ".join(reasons)} if reasons else {})), allow_nan=False
        )

    def figure(self) -> Figure:
        """The loss against the step, the first loss and a diverging step marked."""
        return loss_figure(self)

    def gradient_figure(self) -> Figure:
        """Gradient predictiveness against the step, ‖g‖ marked."""
        return gradient_figure(self)

    def plot(self) -> PlotlyFigure:
        """`figure` as a ``plotly.graph_objects.Figure``."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        along = "its gradient" if self.direction == "gradient" else "the given direction"
        (low, high), (least, most) = self.loss_range, self.gradient_range
        far = self.diverging_step
        ending = "no step diverges" if far is None else f"diverges from step {far:.3g} on"
        head = f'{self.loss} along {along}, statistics="{self.statistics}", {self.samples} samples'
        return "\n".join(
            [
                head if self.batches == 1 else f"{head} in {self.batches} batches",
                f"loss {self.initial_loss:.4g}; {low:.4g} to {high:.4g} at steps {self.steps[0]:.3g} to "
                f"{self.steps[-1]:.3g}; {ending}",
                f"gradient {self.gradient_norm:.4g}; it changes by {least:.3g} to {most:.3g}; "
                f"effective smoothness {self.effective_smoothness:.4g}",
                f"{self.gradient_evaluations} gradient evaluations, {self.seconds:.2g} s",
                *self.assumes,
            ]
        )
