"""Percentiles of what layers are given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True, eq=False)
class LayerPercentiles:
    """Percentiles of the inputs of one call of one layer.

    Attributes
    ----------
    name, kind : str
        The layer's name in the module, with the call's number where there are more, and its class.
    values : numpy.ndarray
        (percentiles,), of all kept units together.
    by_unit : numpy.ndarray
        (kept units, percentiles), of every unit by itself.
    units : tuple of int
        Which units were kept.
    """

    name: str
    kind: str
    values: np.ndarray
    by_unit: np.ndarray
    units: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class InputPercentiles:
    """Percentiles of the inputs of every layer of a module on one batch.

    Attributes
    ----------
    layers : tuple of LayerPercentiles
        In the order of the calls.
    percentiles : tuple of float
    samples : int
    statistics : str
    seed : int
        Of the choice of units and positions.
    """

    layers: tuple[LayerPercentiles, ...]
    percentiles: tuple[float, ...]
    samples: int
    statistics: str
    seed: int

    def __getitem__(self, name: str) -> LayerPercentiles:
        """The layer of a name; KeyError where there is none."""
        return {layer.name: layer for layer in self.layers}[name]

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer, a column for each percentile of all its kept units."""
        import pandas as pd

        return pd.DataFrame(self._rows()).assign(samples=self.samples, statistics=self.statistics)

    def to_json(self) -> str:
        """Every attribute under its name as a JSON object, percentiles by unit included."""
        layers = [vars(layer) for layer in self.layers]
        return json.dumps(finite({**vars(self), "layers": layers}), allow_nan=False)

    def figure(self) -> Figure:
        """Every percentile by layer."""
        names = [layer.name for layer in self.layers]
        numbers = list(range(1, len(names) + 1))
        series = [
            Series(f"{q:g}th percentile", numbers, [layer.values[i] for layer in self.layers], hover=names)
            for i, q in enumerate(self.percentiles)
        ]
        return lines(
            series,
            "layer, in the order of the calls",
            "input",
            title="Percentiles of what every layer is given",
            caption=f'{self.samples} samples, statistics="{self.statistics}".',
        )

    def plot(self) -> PlotlyFigure:
        """The figure as plotly's; raises InvalidInput where no layer was called."""
        return self.figure().to_plotly()

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"layer": layer.name, "kind": layer.kind}
            | {f"p{q:g}": float(value) for q, value in zip(self.percentiles, layer.values, strict=True)}
            for layer in self.layers
        ]

    def __str__(self) -> str:
        wanted = ", ".join(f"{q:g}" for q in self.percentiles)
        head = (
            f'percentiles {wanted} of layers\' inputs, {self.samples} samples, statistics="{self.statistics}"'
        )
        return "\n".join([head, *map(_line, self.layers)])


def _line(layer: LayerPercentiles) -> str:
    return f"{layer.name} ({layer.kind}): {', '.join(f'{value:.3g}' for value in layer.values)}"
