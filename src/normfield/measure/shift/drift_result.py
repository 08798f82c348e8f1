"""What a comparison of layers' inputs at two times of training answers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_NO_NUMBER = (
    "a layer whose units are all constant before or after has no distances; one sample, or samples that cannot be told "
    "apart, have no errors"
)


@dataclass(frozen=True)
class LayerShift:
    """One call of one layer: means over its units, each with the standard error that the choice of samples gives it.

    Attributes
    ----------
    name : str
    units : int
        Over how many the means are.
    constant_units : int
        Left out, because they do not vary before or after.
    kl, kl_error : float
        Kullback–Leibler divergence of histograms, D(after ‖ before) in nats, its bias taken off: it may be a little
        below 0. Errors and bias are NaN, and nothing is taken off, where samples cannot be told apart.
    kl_bias : float
        What was taken off.
    gaussian_kl, gaussian_kl_error : float
        The same of Gaussian fits, its bias taken off too.
    wasserstein, wasserstein_error : float
        Wasserstein-1 distance in units of the standard deviation before.
    mean_drift, mean_drift_error : float
        |μ′ − μ|/σ.
    deviation_drift, deviation_drift_error : float
        |ln σ′/σ|.
    """

    name: str
    units: int
    constant_units: int
    kl: float
    kl_error: float
    kl_bias: float
    gaussian_kl: float
    gaussian_kl_error: float
    wasserstein: float
    wasserstein_error: float
    mean_drift: float
    mean_drift_error: float
    deviation_drift: float
    deviation_drift_error: float


@dataclass(frozen=True)
class DistributionShift:
    """How far the inputs of every layer have moved between two snapshots.

    Attributes
    ----------
    layers : tuple of LayerShift
        In the order of the calls.
    bins : int
        Of the histograms: of equal probability under a Gaussian fitted to both snapshots together.
    same_samples : bool
        Whether both snapshots are of the same samples.
    samples : tuple of int
        Before and after.
    statistics : str
    """

    layers: tuple[LayerShift, ...]
    bins: int
    same_samples: bool
    samples: tuple[int, int]
    statistics: str

    def __getitem__(self, name: str) -> LayerShift:
        """The layer of a name; KeyError where there is none."""
        return {layer.name: layer for layer in self.layers}[name]

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer."""
        import pandas as pd

        rows = pd.DataFrame(self._rows()).rename(columns={"name": "layer"})
        return rows.assign(bins=self.bins, statistics=self.statistics)

    def to_json(self) -> str:
        """Every attribute under its name as a JSON object; a missing number is null, and a ``reason`` says why."""
        content = finite({**vars(self), "layers": self._rows()})
        missing = any(value is None for row in content["layers"] for value in row.values())
        return json.dumps(content | ({"reason": _NO_NUMBER} if missing else {}), allow_nan=False)

    def figure(self) -> Figure:
        """Both divergences by layer, with two standard errors."""
        numbers, names = list(range(1, len(self.layers) + 1)), [layer.name for layer in self.layers]
        return lines(
            [self._series(key, words, numbers, names) for key, words in _DRAWN],
            "layer, in the order of the calls",
            "divergence, nats",
            title="How far every layer's inputs have moved",
            caption=f"{self._on}; {self.bins} bins; error bars are two standard errors.",
        )

    def plot(self) -> PlotlyFigure:
        """The figure as plotly's; raises InvalidInput where no layer has a number."""
        return self.figure().to_plotly()

    def _series(self, key: str, words: str, numbers: list[int], names: list[str]) -> Series:
        values = [getattr(layer, key) for layer in self.layers]
        errors = [2 * getattr(layer, f"{key}_error") for layer in self.layers]
        low = [value - error for value, error in zip(values, errors, strict=True)]
        high = [value + error for value, error in zip(values, errors, strict=True)]
        return Series(words, numbers, values, style="markers", low=low, high=high, hover=names)

    def _rows(self) -> list[dict[str, Any]]:
        return [asdict(layer) for layer in self.layers]

    @property
    def _on(self) -> str:
        of = "the same" if self.same_samples else f"{self.samples[0]} and {self.samples[1]} other"
        return f'{of} samples before and after, statistics="{self.statistics}"'

    def __str__(self) -> str:
        return "\n".join([f"shift of layers' inputs, {self._on}", *map(_line, self.layers)])


_DRAWN = (("kl", "of histograms"), ("gaussian_kl", "of Gaussian fits"))


def _line(layer: LayerShift) -> str:
    if not layer.units:
        return f"{layer.name}: all {layer.constant_units} units are constant before or after"
    error = "without error bar" if math.isnan(layer.kl_error) else f"± {layer.kl_error:.1g}"
    return (
        f"{layer.name}: KL {layer.kl:.3g} {error} nats (Gaussian {layer.gaussian_kl:.3g}), "
        f"W1 {layer.wasserstein:.3g} σ, mean {layer.mean_drift:.3g} σ, |ln σ′/σ| {layer.deviation_drift:.3g}"
    )
