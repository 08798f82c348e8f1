"""What batch norm's two passes in closed form give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from normfield.report import Figure, Series, lines
from normfield.report.plain_json import json_text

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure


def _array(channels: Tensor) -> np.ndarray:
    return channels.double().cpu().numpy()


def _over_channels(columns: dict[str, np.ndarray], title: str, y_title: str) -> Figure:
    """Every column as points over the channels' numbers."""
    series = [
        Series(name, list(range(len(values))), values, style="markers") for name, values in columns.items()
    ]
    return lines(series, "channel", y_title, title=title)


@dataclass(frozen=True, eq=False)
class NormalisedBatch:
    """A batch after batch norm, with what the backward pass needs.

    Attributes
    ----------
    outputs : Tensor
        y = γ x̂ + β, in the shape of the input.
    normalised : Tensor
        x̂, in the same shape; this and what follows in float32 where the outputs are in half precision.
    mean, variance : Tensor
        μ and the biased variance of each channel, (C,), without ε.
    weight, bias : Tensor
        γ and β, (C,).
    eps : float
    """

    outputs: Tensor
    normalised: Tensor
    mean: Tensor
    variance: Tensor
    weight: Tensor
    bias: Tensor
    eps: float

    @property
    def values_per_channel(self) -> int:
        """m′ = samples times positions."""
        return self.outputs.numel() // self.outputs.shape[1]

    @property
    def unbiased_variance(self) -> Tensor:
        """m′/(m′ − 1) times the variance, as running statistics take it, (C,)."""
        return self.variance * (self.values_per_channel / (self.values_per_channel - 1))

    def _columns(self) -> dict[str, np.ndarray]:
        names = ("mean", "variance", "unbiased_variance", "weight", "bias")
        return {name: _array(getattr(self, name)) for name in names}

    def to_frame(self) -> pd.DataFrame:
        """One row per channel: mean, both variances, γ and β."""
        import pandas as pd

        return pd.DataFrame(self._columns()).rename_axis("channel")

    def to_json(self) -> str:
        """The table by columns, with m′ and ε, as a JSON object."""
        return json_text({**self._columns(), "values_per_channel": self.values_per_channel, "eps": self.eps})

    def plot(self) -> PlotlyFigure:
        """Mean and variance by channel."""
        columns = {name: values for name, values in self._columns().items() if name in ("mean", "variance")}
        return _over_channels(columns, "Batch statistics by channel", "of the batch").to_plotly()

    def __str__(self) -> str:
        low, high = float(self.variance.min()), float(self.variance.max())
        return (
            f"{len(self.mean)} channels normalised over {self.values_per_channel} values each: "
            f"variances from {low:.3g} to {high:.3g}, eps {self.eps:.3g}"
        )


@dataclass(frozen=True, eq=False)
class BatchNormGradients:
    """What a batch norm passes back.

    Attributes
    ----------
    inputs : Tensor
        ∂L/∂x, in the shape of the input; over the values of a channel it sums to 0.
    weight, bias : Tensor
        ∂L/∂γ and ∂L/∂β, (C,).
    """

    inputs: Tensor
    weight: Tensor
    bias: Tensor

    def _columns(self) -> dict[str, np.ndarray]:
        squares = self.inputs.double().square()
        norms = squares.sum([d for d in range(squares.dim()) if d != 1]).sqrt()
        return {
            "input_gradient_norm": _array(norms),
            "weight_gradient": _array(self.weight),
            "bias_gradient": _array(self.bias),
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per channel: ‖∂L/∂x‖, ∂L/∂γ and ∂L/∂β."""
        import pandas as pd

        return pd.DataFrame(self._columns()).rename_axis("channel")

    def to_json(self) -> str:
        """The table by columns, as a JSON object."""
        return json_text(self._columns())

    def plot(self) -> PlotlyFigure:
        """The three gradients by channel."""
        return _over_channels(self._columns(), "Gradients by channel", "gradient").to_plotly()

    def __str__(self) -> str:
        norms = (float(part.double().norm()) for part in (self.inputs, self.weight, self.bias))
        return "gradient norms: inputs {:.3g}, weight {:.3g}, bias {:.3g}".format(*norms)
