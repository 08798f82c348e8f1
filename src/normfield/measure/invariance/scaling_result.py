"""What a search for scale-invariant weights answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import Figure, Mark, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_UNMOVED_GRADIENT = 0.1  # of other weights it changes by about c − 1, at least 0.5
_ENOUGH_UNITS = 4  # that many are not all orthogonal to their gradients by chance
_NO_NUMBER = "a weight whose gradient is 0, or whose own values are, has no cosine"


@dataclass(frozen=True, eq=False)
class ScaledWeight:
    """One weight W, and what happens when it is scaled.

    Attributes
    ----------
    name : str
    parameters : int
        Its number of entries.
    norm, gradient : float
        ‖W‖ and ‖∇ℓ‖.
    loss_change : float
        |ℓ(cW) − ℓ(W)|/|ℓ(W)|.
    gradient_change : float
        ‖c∇ℓ(cW) − ∇ℓ(W)‖/‖∇ℓ(W)‖.
    unit_loss_change, unit_gradient_change : float
        The same with a factor c of its own for every unit.
    cosine : float
        ⟨W, ∇ℓ⟩/(‖W‖‖∇ℓ‖), NaN without a gradient.
    unit_norms, unit_cosines : numpy.ndarray
        (units,): ‖W_j‖ and the cosine of every unit, NaN where a unit has no gradient.
    tolerance : float
        At most which change of the loss and which cosine count as none.
    """

    name: str
    parameters: int
    norm: float
    gradient: float
    loss_change: float
    gradient_change: float
    unit_loss_change: float
    unit_gradient_change: float
    cosine: float
    unit_norms: np.ndarray
    unit_cosines: np.ndarray
    tolerance: float

    @property
    def units(self) -> int:
        """How many units W has."""
        return len(self.unit_norms)

    @property
    def is_invariant(self) -> bool:
        """Whether the loss does not feel the length of W; a weight without gradient or length shows nothing."""
        unmoved = self._is_unmoved(self.loss_change, self.gradient_change)
        return abs(self.cosine) <= self.tolerance and (unmoved or self.has_invariant_units)

    @property
    def has_invariant_units(self) -> bool:
        """Whether the loss does not feel the length of any unit of W; dead units, without gradient, do not count."""
        many = self.units - int(np.isnan(self.unit_cosines).sum()) >= _ENOUGH_UNITS
        unmoved = self._is_unmoved(self.unit_loss_change, self.unit_gradient_change)
        return self.largest_unit_cosine <= self.tolerance and (unmoved or many)

    def _is_unmoved(self, loss_change: float, gradient_change: float) -> bool:
        return loss_change <= self.tolerance and gradient_change <= _UNMOVED_GRADIENT

    @property
    def largest_unit_cosine(self) -> float:
        """max_j |cosine_j|; NaN where no unit has a gradient."""
        known = np.abs(self.unit_cosines[~np.isnan(self.unit_cosines)])
        return float(known.max()) if len(known) else math.nan

    @property
    def row(self) -> dict[str, Any]:
        """One line of a table."""
        return {
            "weight": self.name,
            "invariant": self.is_invariant,
            "invariant_units": self.has_invariant_units,
            "loss_change": self.loss_change,
            "gradient_change": self.gradient_change,
            "cosine": self.cosine,
            "unit_loss_change": self.unit_loss_change,
            "unit_gradient_change": self.unit_gradient_change,
            "largest_unit_cosine": self.largest_unit_cosine,
            "norm": self.norm,
            "gradient": self.gradient,
            "units": self.units,
            "parameters": self.parameters,
        }


@dataclass(frozen=True, eq=False)
class ScaleInvariance:
    """Every weight of a module, with whether the loss feels its length.

    Attributes
    ----------
    weights : tuple of ScaledWeight
        In the module's order.
    scale, tolerance : float
        By what weights were scaled, and which change counts as none.
    loss_value : float
        ℓ of the batch.
    samples : int
    loss, statistics : str
    """

    weights: tuple[ScaledWeight, ...]
    scale: float
    tolerance: float
    loss_value: float
    samples: int
    loss: str
    statistics: str

    @property
    def invariant(self) -> tuple[str, ...]:
        """Names of the weights whose length does not matter."""
        return tuple(weight.name for weight in self.weights if weight.is_invariant)

    def __getitem__(self, name: str) -> ScaledWeight:
        """The weight of a name; KeyError where there is none."""
        return {weight.name: weight for weight in self.weights}[name]

    def effective_learning_rates(self, learning_rate: float) -> dict[str, float]:
        """η/‖W‖² of every invariant weight: how fast its direction moves at learning rate η; empty where none is.

        Raises
        ------
        InvalidInput
            A learning rate that is not positive and finite.
        """
        if isinstance(learning_rate, bool) or not isinstance(learning_rate, int | float):
            raise InvalidInput(expected="a learning rate as a number", got=type(learning_rate).__name__)
        if not 0 < learning_rate < math.inf:
            raise InvalidInput(expected="a finite learning rate above 0", got=repr(learning_rate))
        return {weight.name: learning_rate / weight.norm**2 for weight in self.weights if weight.is_invariant}

    def to_frame(self) -> pd.DataFrame:
        """One row for each weight."""
        import pandas as pd

        rows = pd.DataFrame([weight.row for weight in self.weights])
        return rows.assign(scale=self.scale, loss=self.loss, statistics=self.statistics)

    def to_json(self) -> str:
        """The table and on what, as a JSON object; a missing number is null, and a ``reason`` says why."""
        content = finite({**vars(self), "weights": [weight.row for weight in self.weights]})
        missing = any(value is None for row in content["weights"] for value in row.values())
        return json.dumps(content | ({"reason": _NO_NUMBER} if missing else {}), allow_nan=False)

    def figure(self) -> Figure:
        """By how much the loss changes when every weight is scaled, and its cosine with its gradient."""
        numbers = list(range(1, len(self.weights) + 1))
        names = [weight.name for weight in self.weights]
        least = np.finfo(float).eps
        series = [
            Series(
                "relative change of the loss",
                numbers,
                self._shown("loss_change", least),
                "markers",
                hover=names,
            ),
            Series(
                "|cosine| with the gradient", numbers, self._shown("cosine", least), "markers", hover=names
            ),
        ]
        return lines(
            series,
            "weight, in the module's order",
            "",
            log_y=True,
            marks=[Mark(self.tolerance, f"tolerance, {self.tolerance:g}", "y")],
            title="Which weights the loss does not feel the length of",
            caption=f'Scaled by {self.scale:g}; {self.loss}, {self.samples} samples, statistics="{self.statistics}".',
        )

    def plot(self) -> PlotlyFigure:
        """The figure as plotly's; changes of 0 are drawn at round-off."""
        return self.figure().to_plotly()

    def _shown(self, key: str, least: float) -> list[float]:
        return [max(abs(getattr(weight, key)), least) for weight in self.weights]

    def __str__(self) -> str:
        count = len(self.invariant)
        head = (
            f"{count} of {len(self.weights)} weights scale-invariant, {self.loss}, {self.samples} samples, "
            f'statistics="{self.statistics}"'
        )
        return "\n".join([head, *map(_line, self.weights)])


def _line(weight: ScaledWeight) -> str:
    verdict = "every unit" if weight.has_invariant_units else "as a whole" if weight.is_invariant else "no"
    return (
        f"{weight.name}: {verdict} (loss changes by {weight.loss_change:.1g}, its gradient by "
        f"{weight.gradient_change:.1g}, cosine {weight.cosine:.1g}), norm {weight.norm:.4g}"
    )
