"""What a measurement of signals and gradients by layer answers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from normfield.errors import InvalidInput
from normfield.growth import Growth, growth_through
from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_MISSING = (
    "growth needs two layers between the first and last, its error three; frozen weights have no gradient; outputs "
    "that are all 0, or of which no dimension counts the batch's samples, have neither correlation nor rank"
)


@dataclass(frozen=True)
class LayerSignal:
    """One call of one affine layer.

    Attributes
    ----------
    name
        The layer's name in the module, with the call's number where it is called more than once.
    kind
        Its class, such as Linear.
    units, positions
        N, its units or channels, and at how many positions each sample has them.
    mean_square, standard_deviation
        E z² and the standard deviation of its outputs z, over samples, positions and units.
    gradient
        ‖∂ℓ/∂z‖ of the batch's loss ℓ, over all outputs z of the batch.
    weight, weight_gradient
        ‖W‖ and ‖∂ℓ/∂W‖ of its weights; None where they are frozen or computed from other parameters.
    correlation
        Mean cosine between the outputs z of two samples; None of one sample, where a sample's are all 0, or where
        no dimension of z counts the batch's samples, as of windows folded into the first.
    mean
        E z, over samples, positions and units.
    dead_fraction
        Part of the units that no gradient passes: ∂ℓ/∂z is 0 for every sample and position, as under a ReLU that none
        of them switches on. All of them where what follows has zero weights, such as a residual branch that starts
        at γ = 0.
    effective_rank
        (tr G)²/‖G‖_F² of the m × m Gram matrix G = zzᵀ of the samples' outputs, from 1 (all samples alike up to a
        factor) to m (orthogonal); it never exceeds the rank [Daneshmand 2020]. None where all outputs are 0, or samples
        cannot be told apart as above.
    orthogonality_gap
        V = ‖G/tr G − 1/m‖_F = √(1/effective_rank − 1/m), from 0 (orthogonal, of one length) to √(1 − 1/m)
        [Daneshmand 2021]. None where the rank is.
    """

    name: str
    kind: str
    units: int
    positions: int
    mean_square: float
    standard_deviation: float
    gradient: float
    weight: float | None
    weight_gradient: float | None
    correlation: float | None = None
    mean: float | None = None
    dead_fraction: float | None = None
    effective_rank: float | None = None
    orthogonality_gap: float | None = None

    @property
    def root_mean_square(self) -> float:
        """√(E z²)."""
        return math.sqrt(self.mean_square)

    @property
    def relative_weight_gradient(self) -> float | None:
        """‖∂ℓ/∂W‖/‖W‖."""
        if self.weight is None or self.weight_gradient is None or self.weight == 0:
            return None
        return self.weight_gradient / self.weight


@dataclass(frozen=True)
class LayerSignals:
    """The affine layers of a module in the order of their calls, with the scale of signal and gradient at each.

    Attributes
    ----------
    layers
        One for each call of a linear or convolutional layer.
    samples
        Of the batch.
    loss, statistics
        Of what, and with which batch-norm statistics.
    loss_value
        ℓ on the batch.
    """

    layers: tuple[LayerSignal, ...]
    samples: int
    loss: str
    statistics: str
    loss_value: float | None = None

    @property
    def signal_growth(self) -> Growth | None:
        """By what √(E z²) grows from layer to layer, the first and the last left out; None below two such layers."""
        return growth_through([layer.root_mean_square for layer in self.layers[1:-1]])

    @property
    def gradient_growth(self) -> Growth | None:
        """By what ‖∂ℓ/∂z‖ grows per layer going backwards, the first and the last left out: data scale the first."""
        return growth_through([layer.gradient for layer in reversed(self.layers[1:-1])])

    def __getitem__(self, name: str) -> LayerSignal:
        """The call of a name; KeyError where there is none."""
        return {layer.name: layer for layer in self.layers}[name]

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, in the order of the calls."""
        import pandas as pd

        return pd.DataFrame(self._rows())

    def to_json(self) -> str:
        """JSON object: layers, both growths, on what; a number that is missing is null, with the reason."""
        growths = {name: getattr(self, name) for name in ("signal_growth", "gradient_growth")}
        found: dict[str, Any] = {
            "layers": self._rows(),
            **{name: None if growth is None else asdict(growth) for name, growth in growths.items()},
            "samples": self.samples,
            "loss": self.loss,
            "statistics": self.statistics,
            "loss_value": self.loss_value,
        }
        return json.dumps(finite(found | {"reason": _MISSING}), allow_nan=False)

    def figure(self) -> Figure:
        """√(E z²), ‖∂ℓ/∂z‖ and ‖∂ℓ/∂W‖ against the layer, on a logarithmic axis.

        Raises
        ------
        InvalidInput
            No layer has a signal.
        """
        if not any(layer.mean_square > 0 for layer in self.layers):
            raise InvalidInput(
                expected="a signal to draw",
                got="no layer with outputs other than 0",
                instead="signals are those of linear and convolutional layers",
            )
        x, names = list(range(1, len(self.layers) + 1)), [layer.name for layer in self.layers]
        drawn = {
            "√(E z²)": [layer.root_mean_square for layer in self.layers],
            "‖∂ℓ/∂z‖": [layer.gradient for layer in self.layers],
            "‖∂ℓ/∂W‖": [layer.weight_gradient for layer in self.layers],
        }
        seen = {name: y for name, y in drawn.items() if any(value for value in y)}
        return lines(
            [Series(name, x, y, style="markers", hover=names) for name, y in seen.items()],
            "affine layer, from the input",
            "size of signal and gradient",
            log_y=True,
            least_decades=1.0,
            title="Signal and gradient by layer",
            caption=f"{self.samples} samples, {self.loss}, {self.statistics} statistics.",
        )

    def plot(self) -> PlotlyFigure:
        """The figure, for plotly to show or to change."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        if not self.layers:
            return "no linear or convolutional layer here"
        lines_ = [_line(layer) for layer in self.layers]
        backwards = f"gradient, going backwards: {self.gradient_growth or 'too few layers to fit'}"
        forwards = f"signal, going forwards: {self.signal_growth or 'too few layers to fit'}"
        head = f'{self.loss}, statistics="{self.statistics}", {self.samples} samples'
        return "\n".join([head, *lines_, forwards, backwards])

    def _rows(self) -> list[dict[str, Any]]:
        return [
            asdict(layer) | {"relative_weight_gradient": layer.relative_weight_gradient}
            for layer in self.layers
        ]


def _line(layer: LayerSignal) -> str:
    parts = [f"{layer.name}: √(E z²) {layer.root_mean_square:.3g}, ‖∂ℓ/∂z‖ {layer.gradient:.3g}"]
    if layer.effective_rank is not None:
        parts.append(f"rank {layer.effective_rank:.3g}")
    elif layer.mean_square > 0:
        parts.append("no rank: samples cannot be told apart")
    if layer.dead_fraction:
        parts.append(f"dead {layer.dead_fraction:.2g}")
    return ", ".join(parts)
