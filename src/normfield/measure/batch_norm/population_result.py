"""Population statistics of a module's batch norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.errors import InvalidInput
from normfield.measure.subject.function import unwrapped
from normfield.measure.subject.modes import batch_norms
from normfield.report import Series, lines
from normfield.report.plain_json import json_text

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """One batch norm.

    Attributes
    ----------
    name : str
    mean, variance : numpy.ndarray
        Of each channel of its input, (C,), float64; the variance is the unbiased one.
    mean_error, variance_error : numpy.ndarray
        Their standard errors, (C,), with the batches as if independent; NaN from a single one.
    samples : int
        Values per channel in all: samples times positions times calls.
    calls : int
        How often the layer was called.
    start_weight : float
        What is left of the start, mean 0 and variance 1, in an exponential average; 0 of the others.
    """

    name: str
    mean: np.ndarray
    variance: np.ndarray
    mean_error: np.ndarray
    variance_error: np.ndarray
    samples: int
    calls: int
    start_weight: float

    @property
    def channels(self) -> int:
        """C."""
        return len(self.mean)

    @property
    def standard_deviation(self) -> np.ndarray:
        """√variance, (C,)."""
        return np.sqrt(self.variance)

    def rows(self) -> dict[str, Any]:
        """By channel, as columns."""
        return {
            "layer": [self.name or "the module"] * self.channels,
            "channel": list(range(self.channels)),
            "mean": self.mean,
            "variance": self.variance,
            "mean_error": self.mean_error,
            "variance_error": self.variance_error,
        }

    def __str__(self) -> str:
        return (
            f"{self.name or 'the module'}: {self.channels} channels, means {self.mean.min():.3g} to "
            f"{self.mean.max():.3g}, variances {self.variance.min():.3g} to {self.variance.max():.3g}, "
            f"from {self.samples:,} values each"
        )


@dataclass(frozen=True, eq=False)
class PopulationStatistics:
    """Mean and variance of what every batch norm gets, over many batches.

    Attributes
    ----------
    layers : dict of str to LayerStatistics
        By name, in the module's order; empty where the module has no batch norm.
    not_called : tuple of str
        Batch norms that no batch reached.
    in_eval_mode : tuple of str
        Batch norms in eval mode inside a module in training mode: they keep their running statistics.
    method : str
        "exact", "simple" or "exponential".
    momentum : float or None
        α, of an exponential average.
    samples, batches, dropped_samples : int
        On what; a last short batch is left out and its samples counted.
    statistics : str
        "batch": layers above a batch norm saw what it gives with the batch's own statistics.
    """

    layers: dict[str, LayerStatistics]
    not_called: tuple[str, ...]
    in_eval_mode: tuple[str, ...]
    method: str
    momentum: float | None
    samples: int
    batches: int
    dropped_samples: int
    statistics: str = "batch"

    def __getitem__(self, name: str) -> LayerStatistics:
        """The layer of a name; KeyError where there is none."""
        return self.layers[name]

    def apply_(self, model: nn.Module) -> None:
        """Write mean and variance into the running statistics of the batch norms of these names.

        ``num_batches_tracked`` becomes the number of calls. Batch norms that were not called stay as they are.

        Raises
        ------
        InvalidInput
            A name that is no batch norm of the model, another number of channels, a batch norm that keeps no
            running statistics; nothing is written then.
        """
        norms = batch_norms(unwrapped(model)) if isinstance(model, nn.Module) else {}
        for name, found in self.layers.items():
            _check_takes(found, norms.get(name))
        with torch.no_grad():
            for name, found in self.layers.items():
                _write(norms[name], found)

    def to_frame(self) -> pd.DataFrame:
        """One row for each channel of each layer."""
        import pandas as pd

        columns = ["layer", "channel", "mean", "variance", "mean_error", "variance_error"]
        parts = [pd.DataFrame(layer.rows()) for layer in self.layers.values()]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

    def to_json(self) -> str:
        """Every attribute under its name as a JSON object; a missing error is null, and a ``reason`` says why."""
        content = vars(self) | {"layers": [vars(layer) for layer in self.layers.values()]}
        if any(layer.calls < 2 for layer in self.layers.values()):
            content["reason"] = "mean_error, variance_error: a single batch has none"
        return json_text(content)

    def plot(self) -> PlotlyFigure:
        """Standard deviation by layer: the median channel, the band from the least to the largest.

        Raises
        ------
        InvalidInput
            There is no batch norm to draw.
        """
        if not self.layers:
            raise InvalidInput(
                expected="at least one batch norm to draw", got="none", instead="print the result"
            )
        x, names = list(range(1, len(self.layers) + 1)), [name or "the module" for name in self.layers]
        deviations = [layer.standard_deviation for layer in self.layers.values()]
        middle, low, high = ([float(f(part)) for part in deviations] for f in (np.median, np.min, np.max))
        series = Series("median channel", x, middle, style="markers", low=low, high=high, hover=names)
        return lines(
            [series],
            "batch norm, from the input",
            "standard deviation of its input",
            log_y=max(high) > 0,
            least_decades=1.0,
            title="Population statistics by layer",
            caption=f"{self.method}, {self.samples} samples in {self.batches} batches; bars from least to largest.",
        ).to_plotly()

    def __str__(self) -> str:
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        head = f"population statistics, {self.method}, {self.samples} samples in {batches}"
        missed = left_out_words(self.not_called, self.in_eval_mode)
        if not self.layers and not missed:
            return f"{head}: no batch norm here"
        return "\n".join([head, *map(str, self.layers.values()), *missed])


def left_out_words(not_called: tuple[str, ...], in_eval_mode: tuple[str, ...]) -> list[str]:
    """One line for each batch norm that has no numbers."""
    missed = [f"{name or 'the module'}: not called" for name in not_called]
    return missed + [f"{name}: in eval mode, keeps its running statistics" for name in in_eval_mode]


def _check_takes(found: LayerStatistics, norm: _BatchNorm | None) -> None:
    """Refuse a batch norm that cannot hold these statistics."""
    name = found.name or "the module"
    if norm is None:
        raise InvalidInput(
            expected="a model with the batch norms that were measured",
            got=f"none at {name!r}",
            instead="apply them to the model they come from, or to a copy of it",
        )
    if norm.running_mean is None or norm.running_var is None:
        raise InvalidInput(
            expected="batch norms that keep running statistics",
            got=f"track_running_stats=False at {name!r}",
            instead="that layer uses the batch's own at inference too",
        )
    if len(norm.running_mean) != found.channels:
        raise InvalidInput(expected=f"{found.channels} channels at {name!r}", got=f"{len(norm.running_mean)}")


def _write(norm: _BatchNorm, found: LayerStatistics) -> None:
    for buffer, values in ((norm.running_mean, found.mean), (norm.running_var, found.variance)):
        if buffer is not None:
            buffer.copy_(torch.from_numpy(np.ascontiguousarray(values)))
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.fill_(found.calls)
