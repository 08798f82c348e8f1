"""What the layers of a module are given on one batch, kept for comparison."""

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
class LayerInput:
    """What one call of one layer was given.

    Attributes
    ----------
    name, kind : str
        The layer's name in the module, with the call's number where there are more, and its class.
    units, positions : int
        N units (features or channels), and at how many positions each sample, or row, has them.
    values : numpy.ndarray
        (samples, kept positions, kept units), float32; (kept rows, 1, kept units) where `samples_apart` is False.
    kept_units, kept_positions : numpy.ndarray
        Which of them `values` holds, ascending.
    mean, standard_deviation : numpy.ndarray
        (N,), over all samples and positions, float64.
    samples_apart : bool
        Whether a dimension of the input counts the batch's samples; if none does, as of windows folded into the
        first, rows stand by themselves.
    """

    name: str
    kind: str
    units: int
    positions: int
    values: np.ndarray
    kept_units: np.ndarray
    kept_positions: np.ndarray
    mean: np.ndarray
    standard_deviation: np.ndarray
    samples_apart: bool = True

    @property
    def row(self) -> dict[str, Any]:
        """One line of a table: means over units."""
        return {
            "layer": self.name,
            "kind": self.kind,
            "units": self.units,
            "positions": self.positions,
            "mean": float(self.mean.mean()),
            "standard_deviation": float(self.standard_deviation.mean()),
            "constant_units": int((self.standard_deviation == 0).sum()),
            "kept_units": len(self.kept_units),
            "kept_positions": len(self.kept_positions),
            "samples_apart": self.samples_apart,
        }


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """The inputs of a module's layers on one batch, in the order of the calls.

    Attributes
    ----------
    layers : tuple of LayerInput
    samples : int
        Of the batch.
    samples_digest : str
        Of the batch's inputs: two snapshots on the same samples have the same one.
    statistics : str
        Which statistics batch norms used.
    seed : int
        Of the choice of units and positions.
    """

    layers: tuple[LayerInput, ...]
    samples: int
    samples_digest: str
    statistics: str
    seed: int

    def __getitem__(self, name: str) -> LayerInput:
        """The layer of a name; KeyError where there is none."""
        return {layer.name: layer for layer in self.layers}[name]

    def to_frame(self) -> pd.DataFrame:
        """One row for each call; means over the units."""
        import pandas as pd

        return pd.DataFrame([layer.row for layer in self.layers]).assign(statistics=self.statistics)

    def to_json(self) -> str:
        """The table and on what, as a JSON object; single values are not in it."""
        content = {
            "layers": [layer.row for layer in self.layers],
            "samples": self.samples,
            "samples_digest": self.samples_digest,
            "statistics": self.statistics,
            "seed": self.seed,
        }
        return json.dumps(finite(content), allow_nan=False)

    def figure(self) -> Figure:
        """Mean and standard deviation of what every layer is given, averaged over its units."""
        rows = [layer.row for layer in self.layers]
        numbers = list(range(1, len(rows) + 1))
        names = [row["layer"] for row in rows]
        series = [
            Series(words, numbers, [row[key] for row in rows], style="markers", hover=names)
            for key, words in (("mean", "mean"), ("standard_deviation", "standard deviation"))
        ]
        return lines(
            series,
            "layer, in the order of the calls",
            "of its inputs",
            title="What every layer is given",
            caption=f'{self.samples} samples, statistics="{self.statistics}"; means over units.',
        )

    def plot(self) -> PlotlyFigure:
        """The figure as plotly's; raises InvalidInput where no layer was called."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        head = f'inputs of {len(self.layers)} layers, {self.samples} samples, statistics="{self.statistics}"'
        return "\n".join([head, *(_line(layer) for layer in self.layers)])


def _line(layer: LayerInput) -> str:
    row = layer.row
    return (
        f"{layer.name} ({layer.kind}, {layer.units} units): mean {row['mean']:.3g}, standard deviation "
        f"{row['standard_deviation']:.3g}{'' if layer.samples_apart else '; samples cannot be told apart'}"
    )
