"""What a measurement of how lower layers' steps change a layer's gradient answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_NO_NUMBER = "a gradient that is 0 has no direction; one that is not finite no length"


@dataclass(frozen=True)
class LayerGradientShift:
    """One layer's gradient before and after the step of the layers below it.

    Attributes
    ----------
    name : str
    gradient, moved_gradient : float
        ‖G‖ and ‖G′‖.
    difference : float
        ‖G − G′‖.
    relative : float
        ‖G − G′‖/‖G‖.
    cosine : float
        ⟨G, G′⟩/(‖G‖‖G′‖).
    """

    name: str
    gradient: float
    moved_gradient: float
    difference: float
    relative: float
    cosine: float


@dataclass(frozen=True)
class GradientShift:
    """How much the step of the layers below changes every layer's gradient.

    Attributes
    ----------
    layers : tuple of LayerGradientShift
        In the order in which they are called first.
    learning_rate : float
        Of the step.
    samples : int
    gradient_evaluations : int
    loss, statistics : str
    """

    layers: tuple[LayerGradientShift, ...]
    learning_rate: float
    samples: int
    gradient_evaluations: int
    loss: str
    statistics: str

    def __getitem__(self, name: str) -> LayerGradientShift:
        """The layer of a name; KeyError where there is none."""
        return {layer.name: layer for layer in self.layers}[name]

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer."""
        import pandas as pd

        rows = pd.DataFrame(self._rows()).rename(columns={"name": "layer"})
        return rows.assign(learning_rate=self.learning_rate, loss=self.loss, statistics=self.statistics)

    def to_json(self) -> str:
        """Every attribute under its name as a JSON object; a missing number is null, and a ``reason`` says why."""
        content = finite({**vars(self), "layers": self._rows()})
        missing = any(value is None for row in content["layers"] for value in row.values())
        return json.dumps(content | ({"reason": _NO_NUMBER} if missing else {}), allow_nan=False)

    def figure(self) -> Figure:
        """Relative change and cosine by layer."""
        numbers, names = list(range(1, len(self.layers) + 1)), [layer.name for layer in self.layers]
        series = [
            Series(
                words, numbers, [getattr(layer, key) for layer in self.layers], style="markers", hover=names
            )
            for key, words in (("relative", "‖G − G′‖/‖G‖"), ("cosine", "cosine"))
        ]
        return lines(
            series,
            "layer, in the order of the calls",
            "of the gradient before and after the layers below stepped",
            title="How the layers below shift every layer's gradient",
            caption=f'η = {self.learning_rate:g}, {self.loss}, {self.samples} samples, statistics="{self.statistics}".',
        )

    def plot(self) -> PlotlyFigure:
        """The figure as plotly's; raises InvalidInput where no layer has a number."""
        return self.figure().to_plotly()

    def _rows(self) -> list[dict[str, Any]]:
        return [asdict(layer) for layer in self.layers]

    def __str__(self) -> str:
        head = (
            f"gradient shift at η = {self.learning_rate:g}, {self.loss}, {self.samples} samples, "
            f'statistics="{self.statistics}"'
        )
        return "\n".join([head, *map(_line, self.layers)])


def _line(layer: LayerGradientShift) -> str:
    return (
        f"{layer.name}: ‖G‖ {layer.gradient:.3g}, ‖G − G′‖ {layer.difference:.3g} ({layer.relative:.3g} of it), "
        f"cosine {layer.cosine:.4g}"
    )
