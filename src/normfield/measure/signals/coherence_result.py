"""What a measurement of how far the terms of weight gradients agree answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from normfield.errors import InvalidInput
from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_MISSING = (
    "a layer that no gradient reaches, or whose inputs are all 0, has no coherence; one of whose outputs no dimension "
    "counts the batch's samples has none across samples"
)


@dataclass(frozen=True)
class LayerCoherence:
    """The weight gradient of one call of one layer as a sum of terms t_bp over samples b and positions p.

    Attributes
    ----------
    name, kind : str
        The layer's name in the module, with the call's number where it is called more than once, and its class.
    weights, terms : int
        How many weights there are, and how many terms each one's gradient has: samples × positions of the output.
    coherence : float or None
        Σ_W|Σ_bp t| / Σ_W Σ_bp|t|, from 0 (everything cancels) to 1 (one sign per weight).
    across_samples : float or None
        Σ_W|Σ_b g_b| / Σ_W Σ_b|g_b| with g_b = Σ_p t_bp: the same after each sample's positions were added up.
        None where no dimension of the layer's outputs counts the batch's samples, as of windows folded into the first.
    random_signs : float or None
        What the coherence of these terms would be if their signs were drawn at random, √(2/π)·Σ_W √(Σ_bp t²) over
        Σ_W Σ_bp|t|; a normal approximation for many terms.
    """

    name: str
    kind: str
    weights: int
    terms: int
    coherence: float | None
    across_samples: float | None
    random_signs: float | None

    @property
    def across_positions(self) -> float | None:
        """Σ_W Σ_b|Σ_p t| / Σ_W Σ_bp|t|, within single samples; 1 without positions."""
        if self.coherence is None or not self.across_samples:
            return None
        return self.coherence / self.across_samples


@dataclass(frozen=True)
class GradientCoherence:
    """How far the terms of each layer's weight gradient agree.

    Attributes
    ----------
    layers : tuple of LayerCoherence
        One for each call of a linear or convolutional layer, in their order.
    left_out : mapping of str to str
        Calls that could not be split into terms, with the reason.
    samples : int
        Of the batch.
    loss, statistics : str
        Of what, and with which batch-norm statistics.
    """

    layers: tuple[LayerCoherence, ...]
    left_out: Mapping[str, str]
    samples: int
    loss: str
    statistics: str

    def __getitem__(self, name: str) -> LayerCoherence:
        """The call of a name; KeyError where there is none."""
        return {layer.name: layer for layer in self.layers}[name]

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, in the order of the calls."""
        import pandas as pd

        return pd.DataFrame(self._rows())

    def to_json(self) -> str:
        """JSON object: layers, what was left out, on what; a missing number is null, with the reason."""
        found = {**vars(self), "layers": self._rows(), "left_out": dict(self.left_out), "reason": _MISSING}
        return json.dumps(finite(found), allow_nan=False)

    def figure(self) -> Figure:
        """Coherence by layer beside that of random signs, on a logarithmic axis.

        Raises
        ------
        InvalidInput
            No layer has a coherence above 0.
        """
        if not any(layer.coherence for layer in self.layers):
            raise InvalidInput(
                expected="a coherence to draw", got="none above 0", instead="look at to_frame()"
            )
        x, names = list(range(1, len(self.layers) + 1)), [layer.name for layer in self.layers]
        drawn = {
            "over samples and positions": [layer.coherence for layer in self.layers],
            "over samples": [layer.across_samples for layer in self.layers],
        }
        if all(layer.across_samples in (None, layer.coherence) for layer in self.layers):
            del drawn["over samples"]
        series = [Series(name, x, y, style="markers", hover=names) for name, y in drawn.items()]
        by_chance = [layer.random_signs for layer in self.layers]
        return lines(
            [*series, Series("if signs were random", x, by_chance, style="dashed")],
            "affine layer, from the input",
            "|Σ t| / Σ|t| of the weight gradient",
            log_y=True,
            least_decades=1.0,
            title="Agreement of the terms of weight gradients",
            caption=f"{self.samples} samples, {self.loss}, {self.statistics} statistics.",
        )

    def plot(self) -> PlotlyFigure:
        """The figure, for plotly to show or to change."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        head = f'{self.loss}, statistics="{self.statistics}", {self.samples} samples'
        rows = [_line(layer) for layer in self.layers] or ["no layer that could be split into terms"]
        return "\n".join([head, *rows, *(f"{name}: left out, {why}" for name, why in self.left_out.items())])

    def _rows(self) -> list[dict[str, Any]]:
        return [asdict(layer) | {"across_positions": layer.across_positions} for layer in self.layers]


def _line(layer: LayerCoherence) -> str:
    if layer.coherence is None or layer.random_signs is None:
        return f"{layer.name}: no gradient"
    unclear = ", samples cannot be told apart" if layer.across_samples is None else ""
    return (
        f"{layer.name}: coherence {layer.coherence:.3g} of {layer.terms} terms, "
        f"{layer.coherence / layer.random_signs:.3g} times that of random signs{unclear}"
    )
