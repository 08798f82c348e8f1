"""Running statistics beside the exact ones, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from normfield.errors import InvalidInput
from normfield.measure.batch_norm.population_result import left_out_words
from normfield.report import Series, lines
from normfield.report.plain_json import json_text

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True)
class LayerDrift:
    """One batch norm: its running statistics beside the exact ones.

    Attributes
    ----------
    name : str
    channels : int
    mean_error, largest_mean_error : float
        |r − μ|/√(σ² + ε): root mean square over channels, and largest.
    chance_mean_error : float
        What chance alone leaves of the first where the weights stand still; NaN from a single batch, and where no
        update has written the running statistics (or none can, at momentum 0).
    start_mean_error : float
        What is left of the start at mean 0 after so many updates; NaN where the layer does not count them.
    variance_ratio, smallest_variance_ratio, largest_variance_ratio : float
        (v + ε)/(σ² + ε): geometric mean over channels, and extremes.
    updates : int
        How often the running statistics were written; 0 where the module has not trained or does not count.
    """

    name: str
    channels: int
    mean_error: float
    largest_mean_error: float
    chance_mean_error: float
    start_mean_error: float
    variance_ratio: float
    smallest_variance_ratio: float
    largest_variance_ratio: float
    updates: int

    def __str__(self) -> str:
        return (
            f"{self.name or 'the module'}: means off by {self.mean_error:.3g} standard deviations{self._expected()}, "
            f"at most {self.largest_mean_error:.3g}; variances {self.variance_ratio:.3g} times the exact ones, "
            f"{self.smallest_variance_ratio:.3g} to {self.largest_variance_ratio:.3g}"
        )

    def _expected(self) -> str:
        """What averaging leaves: chance where it is known, the start where it counts beside it and the error."""
        chance = 0.0 if math.isnan(self.chance_mean_error) else self.chance_mean_error
        words = [f"chance: {chance:.2g}"] if chance else []
        if self.start_mean_error > 0.5 * max(self.mean_error, chance):
            after = "1 update" if self.updates == 1 else f"{self.updates} updates"
            words.append(f"left of the start at 0 after {after}: {self.start_mean_error:.2g}")
        return f" ({', '.join(words)})" if words else ""


@dataclass(frozen=True)
class StatisticsDrift:
    """How far running statistics are from the exact ones, and the loss with each.

    Attributes
    ----------
    layers : dict of str to LayerDrift
        By name, in the module's order; empty where the module has no batch norm.
    not_called : tuple of str
        Batch norms that no batch reached.
    in_eval_mode : tuple of str
        Batch norms in eval mode inside a module in training mode: they keep their running statistics.
    losses : dict of str to float, or None
        Under "running", "exact" and "batch" statistics, where a loss was given.
    loss : str or None
    samples, batches, dropped_samples : int
    """

    layers: Mapping[str, LayerDrift]
    not_called: tuple[str, ...]
    in_eval_mode: tuple[str, ...]
    losses: Mapping[str, float] | None
    loss: str | None
    samples: int
    batches: int
    dropped_samples: int

    @property
    def worst(self) -> LayerDrift | None:
        """The layer whose running mean is furthest off; None without layers."""
        return max(self.layers.values(), key=lambda layer: layer.mean_error, default=None)

    def __getitem__(self, name: str) -> LayerDrift:
        """The layer of a name; KeyError where there is none."""
        return self.layers[name]

    def to_frame(self) -> pd.DataFrame:
        """One row for each batch norm."""
        import pandas as pd

        columns = list(LayerDrift.__dataclass_fields__)
        rows = [asdict(layer) for layer in self.layers.values()]
        return pd.DataFrame(rows, columns=columns).rename(columns={"name": "layer"})

    def to_json(self) -> str:
        """Every attribute under its name as a JSON object; a missing number is null, with the reason."""
        content: dict[str, Any] = vars(self) | {"layers": [asdict(layer) for layer in self.layers.values()]}
        layers = list(self.layers.values())
        reasons = []
        if any(math.isnan(layer.chance_mean_error) for layer in layers):
            reasons.append(
                "chance_mean_error: a single batch does not tell how batches differ, without updates nothing averages"
            )
        if any(math.isnan(layer.start_mean_error) for layer in layers):
            reasons.append("start_mean_error: the layer does not count its updates")
        if reasons:
            content["reason"] = "; ".join(reasons)
        return json_text(content)

    def plot(self) -> PlotlyFigure:
        """The means' error by layer, beside what chance leaves.

        Raises
        ------
        InvalidInput
            There is no batch norm, or no error, to draw.
        """
        layers = list(self.layers.values())
        if not any(layer.mean_error > 0 for layer in layers):
            raise InvalidInput(
                expected="at least one running mean that is off", got="none", instead="print the result"
            )
        x = list(range(1, len(layers) + 1))
        found = [layer.mean_error for layer in layers]
        names = [layer.name or "the module" for layer in layers]
        series = [Series("running means", x, found, style="markers", hover=names)]
        if all(layer.chance_mean_error > 0 for layer in layers):
            chance = [layer.chance_mean_error for layer in layers]
            series.append(Series("by chance alone", x, chance, style="dashed"))
        return lines(
            series,
            "batch norm, from the input",
            "error of the running mean, in exact standard deviations",
            log_y=True,
            least_decades=1.0,
            title="Running statistics beside the exact ones",
        ).to_plotly()

    def __str__(self) -> str:
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        head = f"running statistics beside the exact ones of {self.samples} samples in {batches}"
        missed = left_out_words(self.not_called, self.in_eval_mode)
        if not self.layers and not missed:
            return f"{head}: no batch norm here"
        losses = [] if self.losses is None else [_losses_words(self.loss, self.losses)]
        return "\n".join([head, *map(str, self.layers.values()), *missed, *losses])


def _losses_words(name: str | None, losses: Mapping[str, float]) -> str:
    values = ", ".join(f"{value:.5g} with {kind} statistics" for kind, value in losses.items())
    return f"{name}: {values}"
