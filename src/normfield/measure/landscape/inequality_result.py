"""What the check of Santurkar's theorems answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

NONE_HERE = "none here: the module calls no batch norm"


_CANCELLED = 4.0  # of ε|mean|/σ, what y − mean may lose; the misses that were seen are up to 0.1 of it


def _relative(left: np.ndarray, right: np.ndarray, size: np.ndarray) -> np.ndarray:
    """|left − right|/size; where the size is 0, both sides must be."""
    misses = np.abs(left - right)
    return np.divide(misses, size, out=np.where(misses > 0, np.inf, 0.0), where=size > 0)


@dataclass(frozen=True, eq=False)
class LayerInequality:
    """One call of a batch norm; arrays have one entry for each unit or channel.

    Attributes
    ----------
    name : str
        The layer's name in the module, with the call's number where it is called more than once.
    samples : int
        m, over samples and positions.
    eps : float
        ε.
    gamma, mean, deviation : numpy.ndarray
        γ, the mean of y, and σ = √(variance + ε).
    squared_gradient_at_output : numpy.ndarray
        ‖g‖², g = ∂ℓ/∂z at the batch norm's output: the gradient that a network without it has at the same place.
    squared_gradient : numpy.ndarray
        ‖ĝ‖², ĝ = ∂ℓ/∂y at its input, by automatic differentiation.
    bound : numpy.ndarray
        γ²/σ²·(‖g‖² − ⟨1, g⟩²/m − ⟨g, ŷ⟩²/m) [Santurkar, Theorem 4.1]; equal to ‖ĝ‖² at ε = 0.
    exact : numpy.ndarray
        The same with (2 − ‖ŷ‖²/m)⟨g, ŷ⟩²/m: equal to ‖ĝ‖² at any ε.
    curvature_units : tuple of int
        The units to which the remaining arrays belong: those with the largest ‖ĝ‖.
    curvature : numpy.ndarray
        ĝᵀĤĝ, Ĥ the Hessian by the unit's inputs, by automatic differentiation.
    curvature_theorem : numpy.ndarray
        (γ²/σ²)ĝᵀHĝ − (γ/(mσ²))⟨g, ŷ⟩‖ĝ‖², H that by its outputs [Santurkar, Theorem 4.2]; equal to it at ε = 0.
    curvature_exact : numpy.ndarray
        What it is equal to at any ε.
    curvature_size : numpy.ndarray
        The sum of the moduli of the terms of `curvature_exact`, the measure of what round-off may do.
    """

    name: str
    samples: int
    eps: float
    gamma: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    squared_gradient_at_output: np.ndarray
    squared_gradient: np.ndarray
    bound: np.ndarray
    exact: np.ndarray
    curvature_units: tuple[int, ...]
    curvature: np.ndarray
    curvature_theorem: np.ndarray
    curvature_exact: np.ndarray
    curvature_size: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """γ²/σ²·‖g‖²: the bound without what the two directions take away."""
        return (self.gamma / self.deviation) ** 2 * self.squared_gradient_at_output

    @property
    def slack(self) -> np.ndarray:
        """The bound minus ‖ĝ‖²; 0 at ε = 0."""
        return self.bound - self.squared_gradient

    @property
    def gradient_ratio(self) -> float:
        """‖ĝ‖/‖g‖ over all units: by what the batch norm changes the gradient; NaN where g is 0."""
        before = float(self.squared_gradient_at_output.sum())
        return math.sqrt(float(self.squared_gradient.sum()) / before) if before > 0 else math.nan

    @property
    def bound_ratio(self) -> float:
        """The bound on that ratio, √(Σ bound)/‖g‖; NaN where g is 0."""
        before = float(self.squared_gradient_at_output.sum())
        return math.sqrt(max(float(self.bound.sum()), 0.0) / before) if before > 0 else math.nan

    @property
    def error(self) -> float:
        """The largest |‖ĝ‖² − exact| among units, relative to `size`."""
        return float(self._errors.max(initial=0.0))

    @property
    def excess(self) -> float:
        """By how much ‖ĝ‖² passes the bound at most, relative to `size`; 0 where it never does."""
        return float(self._excesses.max(initial=0.0))

    @property
    def curvature_error(self) -> float:
        """The largest |ĝᵀĤĝ − exact form| among its units, relative to the terms' size."""
        return float(self._curvature_errors.max(initial=0.0))

    @property
    def _errors(self) -> np.ndarray:
        return _relative(self.squared_gradient, self.exact, self.size)

    @property
    def _excesses(self) -> np.ndarray:
        return _relative(np.maximum(self.squared_gradient, self.bound), self.bound, self.size)

    @property
    def _curvature_errors(self) -> np.ndarray:
        return _relative(self.curvature, self.curvature_exact, self.curvature_size)

    @property
    def misses(self) -> np.ndarray:
        """The largest relative miss of each unit, by inequality and equations."""
        found = np.maximum(self._errors, self._excesses)
        np.maximum.at(found, list(self.curvature_units), self._curvature_errors)
        return found

    def allowance(self, round_off: float) -> np.ndarray:
        """What round-off may explain of each unit's miss: `round_off` = √ε, and 4ε|mean|/σ of y − mean."""
        return round_off + _CANCELLED * round_off**2 * np.abs(self.mean) / self.deviation


@dataclass(frozen=True, eq=False)
class GradientInequality:
    """Santurkar's two theorems at every batch norm of a module, both sides measured.

    Attributes
    ----------
    layers : tuple of LayerInequality
        In the order of their calls; empty where the module calls no batch norm.
    round_off : float
        The relative difference that is taken for round-off: the square root of the precision's ε. A unit whose mean
        is large beside its deviation is allowed more, `LayerInequality.allowance`.
    precision : str
        In which the module computes, such as "float32".
    samples : int
        Of the batch.
    loss : str
        Statistics are those of the batch, with gradient through them: the theorems speak of nothing else.
    seconds : float
    """

    layers: tuple[LayerInequality, ...]
    round_off: float
    precision: str
    samples: int
    loss: str
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every unit's ‖ĝ‖² is at most the bound, and both equations hold, up to its allowance of round-off."""
        return all(bool((layer.misses <= layer.allowance(self.round_off)).all()) for layer in self.layers)

    @property
    def largest_error(self) -> float:
        """The largest relative miss of either equation; 0 without layers."""
        return max((max(layer.error, layer.curvature_error) for layer in self.layers), default=0.0)

    def to_frame(self) -> pd.DataFrame:
        """One row for each unit of each layer; curvatures are NaN where they were not measured."""
        import pandas as pd

        columns = ("layer", "unit", *_FIRST, "slack", *_SECOND)
        return pd.DataFrame([row for layer in self.layers for row in _rows(layer)], columns=list(columns))

    def to_json(self) -> str:
        """Layers with every array under its name, whether the theorems hold and how closely, as a JSON object."""
        reasons = [] if self.layers else [NONE_HERE]
        if any(math.isnan(layer.gradient_ratio) for layer in self.layers):
            reasons.append("gradient_ratio, bound_ratio: the loss does not depend on that layer")
        content: dict[str, Any] = {
            **vars(self),
            "layers": [_summary(layer) for layer in self.layers],
            "holds": self.holds if self.layers else None,
            "largest_error": self.largest_error if self.layers else None,
        }
        return json.dumps(
            finite(content | ({"reason": "; ".join(reasons)} if reasons else {})), allow_nan=False
        )

    def figure(self) -> Figure:
        """‖ĝ‖/‖g‖ at each batch norm in the order of calls, and the theorem's bound on it.

        Raises
        ------
        InvalidInput
            There is no batch norm to draw.
        """
        if not self.layers:
            raise InvalidInput(
                expected="at least one batch norm to draw",
                got="none",
                instead="measure a module that has one",
            )
        places, names = list(range(1, len(self.layers) + 1)), [layer.name for layer in self.layers]
        measured = [layer.gradient_ratio for layer in self.layers]
        bound = [layer.bound_ratio for layer in self.layers]
        return lines(
            [
                Series("measured", places, measured, style="markers", hover=names),
                Series("bound", places, bound, style="dashed", hover=names),
            ],
            "batch norm, in the order of calls",
            "gradient at the input over that at the output",
            title="What batch norm does to the gradient at its own place",
            caption=f"{self.loss}, {self.samples} samples, batch statistics.",
        )

    def plot(self) -> PlotlyFigure:
        """`figure` as a ``plotly.graph_objects.Figure``."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        if not self.layers:
            return NONE_HERE
        head = (
            f"Santurkar's Theorems 4.1 and 4.2 {self._verdict} at {len(self.layers)} batch norms, {self.loss}, "
            f"{self.samples} samples; largest relative error {self.largest_error:.2g}"
        )
        return "\n".join([head + self._doubt, *map(_line, self.layers)])

    @property
    def _verdict(self) -> str:
        """A theorem is not false because of a precision that another has beyond it."""
        if self.holds:
            return "hold"
        return "DO NOT HOLD" if self.precision == "float64" else "cannot be told"

    @property
    def _doubt(self) -> str:
        """What a miss above plain round-off says."""
        if all(bool((layer.misses <= self.round_off).all()) for layer in self.layers):
            return ""
        how_much = "no more than" if self.holds else "more than the"
        advice = "" if self.precision == "float64" else ": measure in float64"
        return f", {how_much} round-off of {self.precision} may explain{advice}"


_FIRST = ("gamma", "mean", "deviation", "squared_gradient_at_output", "squared_gradient", "bound", "exact")
_SECOND = ("curvature", "curvature_theorem", "curvature_exact")


def _line(layer: LayerInequality) -> str:
    return (
        f"{layer.name}: gradient at the input {layer.gradient_ratio:.3g} of that at the output, "
        f"bound {layer.bound_ratio:.3g}"
    )


def _summary(layer: LayerInequality) -> dict[str, Any]:
    names = ("slack", "gradient_ratio", "bound_ratio", "error", "excess", "curvature_error")
    return {**vars(layer), **{name: getattr(layer, name) for name in names}}


def _rows(layer: LayerInequality) -> list[dict[str, Any]]:
    places = {unit: place for place, unit in enumerate(layer.curvature_units)}
    return [
        {"layer": layer.name, "unit": unit}
        | {name: getattr(layer, name)[unit] for name in (*_FIRST, "slack")}
        | {name: getattr(layer, name)[places[unit]] if unit in places else math.nan for name in _SECOND}
        for unit in range(len(layer.gamma))
    ]
