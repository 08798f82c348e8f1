"""What a look at the first steps of a training answers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from normfield.errors import InvalidInput
from normfield.growth import Growth
from normfield.measure.signals.layer_result import LayerSignals
from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

COMPLETE = "complete"
_MOST_CURVES = 5
_MISSING = "a loss or size beyond float64, or growth of fewer than two layers between the first and last"


@dataclass(frozen=True)
class FirstSteps:
    """Signals and gradients by layer before training and after each of its first steps.

    Attributes
    ----------
    signals : tuple of LayerSignals
        At the start, after step 1, …, all on the first batch.
    learning_rate, momentum : float
        η and μ of the steps.
    loss, statistics : str
        Of what, and with which batch-norm statistics.
    batches : int
        From how many the steps were taken in turn.
    status : str
        "complete", or at which step and why it stopped.
    """

    signals: tuple[LayerSignals, ...]
    learning_rate: float
    momentum: float
    loss: str
    statistics: str
    batches: int
    status: str

    @property
    def before(self) -> LayerSignals:
        """At the start."""
        return self.signals[0]

    @property
    def after(self) -> LayerSignals:
        """After the last step that was taken."""
        return self.signals[-1]

    @property
    def losses(self) -> tuple[float, ...]:
        """ℓ of the first batch, at the start and after each step."""
        return tuple(math.nan if s.loss_value is None else s.loss_value for s in self.signals)

    @property
    def gradient_growth(self) -> tuple[Growth | None, ...]:
        """By what ‖∂ℓ/∂z‖ grows per layer going backwards, at the start and after each step."""
        return tuple(signals.gradient_growth for signals in self.signals)

    def to_frame(self) -> pd.DataFrame:
        """One row for each step and layer."""
        import pandas as pd

        frames = [signals.to_frame() for signals in self.signals]
        for step, frame in enumerate(frames):
            frame.insert(0, "loss_value", self.losses[step])
            frame.insert(0, "step", step)
        return pd.concat(frames, ignore_index=True)

    def to_json(self) -> str:
        """JSON object: losses, growth and layers of every step; a missing number is null, with the reason."""
        growths = [None if growth is None else asdict(growth) for growth in self.gradient_growth]
        found: dict[str, Any] = {key: value for key, value in vars(self).items() if key != "signals"} | {
            "losses": self.losses,
            "gradient_growth": growths,
            "steps": [json.loads(signals.to_json())["layers"] for signals in self.signals],
            "reason": _MISSING,
        }
        return json.dumps(finite(found), allow_nan=False)

    def figure(self) -> Figure:
        """‖∂ℓ/∂W‖ of every layer at the start, after the first and some later steps, on a logarithmic axis.

        Raises
        ------
        InvalidInput
            No weight has a gradient.
        """
        names = [layer.name for layer in self.before.layers]
        curves = [
            Series(
                "at the start" if step == 0 else f"after step {step}",
                list(range(1, len(names) + 1)),
                [layer.weight_gradient for layer in self.signals[step].layers],
                hover=names,
            )
            for step in _spread(len(self.signals))
        ]
        if not any(value for curve in curves for value in curve.y):
            raise InvalidInput(
                expected="gradients of weights to draw", got="none other than 0", instead="look at to_frame()"
            )
        return lines(
            curves,
            "affine layer, from the input",
            "‖∂ℓ/∂W‖",
            log_y=True,
            least_decades=1.0,
            title="Gradient by layer in the first steps",
            caption=f"η = {self.learning_rate:g}, μ = {self.momentum:g}, {self.statistics} statistics.",
        )

    def plot(self) -> PlotlyFigure:
        """The figure, for plotly to show or to change."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        rows = [
            f"{'start' if step == 0 else f'step {step}'}: loss {loss:.4g}, gradient going backwards "
            f"{growth or 'too few layers to fit'}"
            for step, (loss, growth) in enumerate(zip(self.losses, self.gradient_growth, strict=True))
        ]
        head = (
            f'{self.loss}, statistics="{self.statistics}", η = {self.learning_rate:g}, μ = {self.momentum:g}'
        )
        return "\n".join([head, *rows, self.status])


def _spread(count: int) -> list[int]:
    """The start, step 1 and the last, with some between."""
    if count <= _MOST_CURVES:
        return list(range(count))
    later = [round(1 + (count - 2) * k / (_MOST_CURVES - 2)) for k in range(_MOST_CURVES - 1)]
    return [0, *dict.fromkeys(later)]
