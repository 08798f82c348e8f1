"""How far a module's running statistics are from the exact ones at its present weights, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.errors import InvalidInput
from normfield.measure.batch_norm.averages import Moments
from normfield.measure.batch_norm.drift_result import LayerDrift, StatisticsDrift
from normfield.measure.batch_norm.expected_drift import Averaging, by_chance, of_the_start
from normfield.measure.batch_norm.layer_moments import LayerMoments, layer_moments, opened
from normfield.measure.batch_norm.population import statistics_from
from normfield.measure.batch_norm.population_result import LayerStatistics, PopulationStatistics
from normfield.measure.subject.batches import Batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.losses import Loss, recognise
from normfield.measure.subject.modes import batch_norm_statistics, batch_norms
from normfield.measure.subject.survey import fitted, survey


def statistics_drift(model: nn.Module, batches: Any, loss: Any = None, *, seed: int = 0) -> StatisticsDrift:
    """Compare the running statistics of every batch norm with the exact ones over the batches.

    With μ, σ² the exact population statistics of a channel (`population_statistics`), r and v the module's running
    mean and variance: |r − μ|/√(σ² + ε) and (v + ε)/(σ² + ε), what the layer's outputs are moved and scaled by. Beside
    it what averaging alone leaves where the weights stand still, for momentum α after u updates from torch's start at
    mean 0, with s_b the standard deviation of the batches' means and n batches here: by chance
    s_b √(α/(2 − α)·(1 − (1 − α)^{2u}) + 1/n), and of the start (1 − α)^u |μ|, both over √(σ² + ε), and independent.
    Where both are exceeded, the weights have moved faster than the average follows, the data are others, or the
    statistics were not written by training forwards.

    With a loss, its mean over the batches with each kind of statistics, everything else (such as dropout) as in eval
    mode: "running" is what inference gives now, "exact" after `recalibrate_`, "batch" what training sees. Of a model in
    training mode, a batch norm that is itself in eval mode, as in fine-tuning, is left out and named, and keeps its
    running statistics in all three.

    Parameters
    ----------
    model : nn.Module
        Left as it is found.
    batches : pair, iterable of pairs, or DataLoader
        A last short batch is left out and counted.
    loss : optional
        "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar.
    seed : int
        Of a shuffling loader and of dropout's masks.

    Returns
    -------
    StatisticsDrift
        With no layers where the module has no batch norm.

    Raises
    ------
    InvalidInput
        A batch norm that keeps no running statistics; batches or a loss that do not fit.

    Examples
    --------
    >>> norm = torch.nn.BatchNorm1d(1)
    >>> batches = [(torch.tensor([[0.0], [4.0]]), torch.zeros(2, 1)), (torch.tensor([[0.0], [4.0]]), torch.zeros(2, 1))]
    >>> layer = statistics_drift(norm, batches).layers[""]
    >>> round(layer.mean_error, 4), round(layer.variance_ratio, 4)
    (0.866, 0.1875)
    """
    recognised = None if loss is None else recognise(loss)
    with opened(model, batches, seed) as (function, read):
        _check_keeps(batch_norms(function.model))
        noted = layer_moments(function, read)
        exact = statistics_from(noted, "exact", 1.0)
        losses = None if recognised is None else _losses(function, read, recognised, exact)
        layers = _layers(batch_norms(function.model), noted, exact)
    return StatisticsDrift(
        layers=layers,
        not_called=noted.not_called,
        in_eval_mode=noted.in_eval_mode,
        losses=losses,
        loss=None if recognised is None else recognised.name,
        samples=read.samples,
        batches=len(read.items),
        dropped_samples=read.dropped_samples,
    )


def _check_keeps(norms: Mapping[str, _BatchNorm]) -> None:
    for name, norm in norms.items():
        if norm.running_mean is None or norm.running_var is None:
            raise InvalidInput(
                expected="batch norms that keep running statistics to compare",
                got=f"track_running_stats=False at {name or 'the module'!r}",
                instead="that layer uses the batch's own at inference too",
            )


def _layers(
    norms: Mapping[str, _BatchNorm], noted: LayerMoments, exact: PopulationStatistics
) -> dict[str, LayerDrift]:
    return {name: _layer(norms[name], noted.by_layer[name], found) for name, found in exact.layers.items()}


def _layer(norm: _BatchNorm, calls: list[Moments], exact: LayerStatistics) -> LayerDrift:
    variance = exact.variance + norm.eps
    ratios = (_array(norm.running_var) + norm.eps) / variance
    errors = np.abs(_array(norm.running_mean) - exact.mean) / np.sqrt(variance)
    updates = 0 if norm.num_batches_tracked is None else int(norm.num_batches_tracked)
    averaging = Averaging.of(norm)
    return LayerDrift(
        name=exact.name,
        channels=exact.channels,
        mean_error=_root_mean_square(errors),
        largest_mean_error=float(errors.max()),
        chance_mean_error=by_chance(calls, variance, averaging),
        start_mean_error=of_the_start(exact.mean, variance, averaging),
        variance_ratio=_geometric_mean(ratios),
        smallest_variance_ratio=float(ratios.min()),
        largest_variance_ratio=float(ratios.max()),
        updates=updates,
    )


def _losses(
    function: ModelFunction, read: Batches, loss: Loss, exact: PopulationStatistics
) -> dict[str, float]:
    """By kind of statistics, everything else in eval mode."""
    with batch_norm_statistics(function.model, "batch"):  # as it trains, so before anything is in eval mode
        function.model.eval()
        function, loss = fitted(function, loss, read)
        survey(function, read, loss, "batch" if exact.layers else "running")
        by_batch = _loss(function, read, loss)
    recalibrated = replace(function, buffers={**function.buffers, **_as_buffers(function, exact)})
    with batch_norm_statistics(function.model, "running"):
        by_running, by_exact = (_loss(at, read, loss) for at in (function, recalibrated))
    return {"running": by_running, "exact": by_exact, "batch": by_batch}


def _as_buffers(function: ModelFunction, exact: PopulationStatistics) -> dict[str, Tensor]:
    """The exact statistics under the names of the running ones, in their dtype."""
    found = {}
    for name, layer in exact.layers.items():
        start = f"{name}." if name else ""
        found[f"{start}running_mean"] = torch.from_numpy(layer.mean)
        found[f"{start}running_var"] = torch.from_numpy(layer.variance)
    return {name: values.to(function.buffers[name]) for name, values in found.items()}


def _loss(function: ModelFunction, read: Batches, loss: Loss) -> float:
    """Mean over samples, batch by batch."""
    total = 0.0
    with torch.no_grad():
        for batch in (item.like(function.like) for item in read.items):
            outputs = function(batch.inputs)
            value = loss.value(outputs, loss.read_targets(outputs, batch.targets))
            total += batch.samples / read.samples * float(value)
    return total


def _array(buffer: Tensor | None) -> np.ndarray:
    return np.empty(0) if buffer is None else buffer.detach().double().cpu().numpy()


def _root_mean_square(values: np.ndarray) -> float:
    return math.sqrt(float(np.square(values).mean()))


def _geometric_mean(values: np.ndarray) -> float:
    return math.exp(float(np.log(np.maximum(values, np.finfo(float).tiny)).mean()))
