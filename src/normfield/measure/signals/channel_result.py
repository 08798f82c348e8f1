"""What a measurement of channel means and variances answers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.growth import Growth, growth_through
from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_PERCENTILES = (10, 50, 90)
_MISSING = "growth needs two layers between the first and last, its error three; an infinite number is null"


@dataclass(frozen=True, eq=False)
class LayerChannels:
    """The channels of one call of one affine layer.

    Attributes
    ----------
    name, kind : str
        The layer's name in the module, with the call's number where it is called more than once, and its class.
    means, variances : numpy.ndarray
        μ_c and v_c of every channel c, (N,), float64, over samples and positions.
    """

    name: str
    kind: str
    means: np.ndarray
    variances: np.ndarray

    @property
    def mean_size(self) -> float:
        """√(E_c μ_c²), how far the channels' means are from 0."""
        return math.sqrt(float(np.mean(np.square(self.means))))

    @property
    def deviation(self) -> float:
        """√(E_c v_c), by how much samples and positions differ."""
        return math.sqrt(float(np.mean(self.variances)))

    def called(self, name: str) -> LayerChannels:
        """The same under another name."""
        return replace(self, name=name)


@dataclass(frozen=True, eq=False)
class ChannelMoments:
    """Channel means and variances of a module's affine layers, in the order of their calls.

    Attributes
    ----------
    layers : tuple of LayerChannels
        One for each call of a linear or convolutional layer.
    samples : int
        Of the batch.
    statistics : str
        Which batch norms used.
    """

    layers: tuple[LayerChannels, ...]
    samples: int
    statistics: str

    @property
    def mean_growth(self) -> Growth | None:
        """By what √(E_c μ_c²) grows from layer to layer, the first and the last left out."""
        return growth_through([layer.mean_size for layer in self.layers[1:-1]])

    @property
    def deviation_growth(self) -> Growth | None:
        """By what √(E_c v_c) grows from layer to layer, the first and the last left out."""
        return growth_through([layer.deviation for layer in self.layers[1:-1]])

    def __getitem__(self, name: str) -> LayerChannels:
        """The call of a name; KeyError where there is none."""
        return {layer.name: layer for layer in self.layers}[name]

    def to_frame(self) -> pd.DataFrame:
        """One row per layer: size of the means, deviation, and percentiles over channels of both."""
        import pandas as pd

        return pd.DataFrame([_row(layer) for layer in self.layers])

    def to_json(self) -> str:
        """JSON object: every channel of every layer, both growths; a missing number is null, with the reason."""
        growths = {name: getattr(self, name) for name in ("mean_growth", "deviation_growth")}
        found: dict[str, Any] = {
            "layers": [vars(layer) for layer in self.layers],
            **{name: None if growth is None else asdict(growth) for name, growth in growths.items()},
            "samples": self.samples,
            "statistics": self.statistics,
            "reason": _MISSING,
        }
        return json.dumps(finite(found), allow_nan=False)

    def figure(self) -> Figure:
        """√(E_c μ_c²) and √(E_c v_c) against the layer, on a logarithmic axis.

        Raises
        ------
        InvalidInput
            There is no layer, or nothing but 0.
        """
        drawn = {
            "means √(E μ²)": [layer.mean_size for layer in self.layers],
            "deviations √(E v)": [layer.deviation for layer in self.layers],
        }
        seen = {name: y for name, y in drawn.items() if any(0 < value < math.inf for value in y)}
        if not seen:
            raise InvalidInput(
                expected="channels to draw",
                got="no linear or convolutional layer with finite outputs other than 0",
                instead="look at to_frame()",
            )
        x, names = list(range(1, len(self.layers) + 1)), [layer.name for layer in self.layers]
        return lines(
            [Series(name, x, y, style="markers", hover=names) for name, y in seen.items()],
            "affine layer, from the input",
            "size over channels",
            log_y=True,
            least_decades=1.0,
            title="Channel means and variances by layer",
            caption=f"{self.samples} samples, {self.statistics} statistics.",
        )

    def plot(self) -> PlotlyFigure:
        """The figure, for plotly to show or to change."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        if not self.layers:
            return "no linear or convolutional layer here"
        rows = [
            f"{layer.name}: {len(layer.means)} channels, means √(E μ²) {layer.mean_size:.3g}, "
            f"deviations √(E v) {layer.deviation:.3g}"
            for layer in self.layers
        ]
        growths = {"means": self.mean_growth, "deviations": self.deviation_growth}
        ends = [
            f"growth of the {name}: {growth or 'too few layers to fit'}" for name, growth in growths.items()
        ]
        return "\n".join([f'statistics="{self.statistics}", {self.samples} samples', *rows, *ends])


def _row(layer: LayerChannels) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": layer.name,
        "kind": layer.kind,
        "channels": len(layer.means),
        "mean_size": layer.mean_size,
        "deviation": layer.deviation,
    }
    for name, values in (("mean", layer.means), ("variance", layer.variances)):
        shown = np.percentile(values, _PERCENTILES)
        found |= {f"{name}_{p}_percent": float(v) for p, v in zip(_PERCENTILES, shown, strict=True)}
    return found
