"""Keeping what every layer is given on one batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from normfield.errors import InvalidInput
from normfield.measure.matrix.prepared import check_count
from normfield.measure.shift.snapshot_result import LayerInput, LayerInputs
from normfield.measure.subject.as_trained import as_trained
from normfield.measure.subject.batches import Batch, read_batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.layer_calls import chosen_layers, numbered, watched_calls
from normfield.measure.subject.sample_rows import samples_first
from normfield.measure.subject.survey import check_batch_size, check_outputs, run_model
from normfield.samples import Samples, leaves


def layer_inputs(
    model: nn.Module,
    batch: Any,
    *,
    layers: Sequence[str] | None = None,
    units: int = 64,
    positions: int = 8,
    statistics: str = "batch",
    seed: int = 0,
) -> LayerInputs:
    """Keep what every layer of a module is given on one batch, to compare it with another time of training.

    Of a layer with many units or positions a part is kept, chosen by `seed`, the same at every call: two snapshots
    hold the same units and positions. Means and standard deviations are over all samples and positions.

    The samples of a layer's input are those of the first dimension where it counts as many as the batch; where it does
    not, those of the only other dimension that does, as in (positions, samples, units). Where there is none, as of
    windows that are folded into the first dimension, every row is kept by itself, at most samples × `positions` of
    them, and a comparison gives no error bars.

    A model in eval mode is taken in training mode, dropout with the same masks at every evaluation; of one in training
    mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found.
    batch : pair (inputs, targets)
        m samples; targets are not used.
    layers : sequence of str, optional
        Names of submodules; by default every one that has no submodules itself, except those that only pass values on
        (Identity, Flatten, dropout). A layer's unit is its channel (second dimension) for convolutions, batch norms
        and inputs of four dimensions and more, the last dimension otherwise.
    units, positions : int
        The most to keep of every layer.
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use.
    seed : int
        Of the choice, and of random draws in the model.

    Returns
    -------
    LayerInputs

    Raises
    ------
    InvalidInput
        A module or batch that does not fit, a name of no submodule, of one that is not called on floating-point
        values, or counts below 1.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 1)
    >>> kept = layer_inputs(layer, (torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.zeros(2, 1)))
    >>> kept.layers[0].mean.tolist(), kept.layers[0].standard_deviation.tolist()
    ([1.0, 1.0], [1.0, 0.0])
    """
    check_count("units", units)
    check_count("positions", positions)
    function = ModelFunction.of(model, seed)
    wanted = chosen_layers(function.model, layers)
    with as_trained(function, statistics):
        read = read_batches([batch])
        check_batch_size(function, read, statistics)
        taking = partial(_kept, samples=read.samples, most=(units, positions), seed=seed)
        with torch.no_grad(), watched_calls(wanted, taking) as kept:
            _run(function, read.items[0].like(function.parameters[0]))
    if layers is not None:
        _check_called(layers, kept)
    names = numbered([layer.name for layer in kept])
    found = tuple(replace(layer, name=name) for layer, name in zip(kept, names, strict=True))
    return LayerInputs(found, read.samples, _digest(read.items[0].inputs), statistics, seed)


def _run(function: ModelFunction, batch: Batch) -> None:
    """Outputs of any structure; one tensor of them must be finite."""
    outputs = run_model(function, batch)
    if isinstance(outputs, Tensor):
        check_outputs(outputs, batch)


def _check_called(layers: Sequence[str], kept: Sequence[LayerInput]) -> None:
    missing = sorted(set(layers) - {layer.name for layer in kept})
    if missing:
        raise InvalidInput(
            expected="layers that the model calls on floating-point values",
            got=f"{missing[0]!r}, which it does not",
            instead="name another submodule",
        )


def _has_channels(layer: nn.Module, given: Tensor) -> bool:
    """Whether the second dimension counts the units, and not the last."""
    if given.dim() >= 4:
        return not isinstance(layer, nn.Linear | nn.LayerNorm)
    return given.dim() == 3 and isinstance(layer, _ConvNd | _BatchNorm | nn.GroupNorm)


def _rows(given: Tensor, unit: int, samples: int) -> tuple[Tensor, bool]:
    """(samples, positions, units) and True; (rows, 1, units) and False where samples cannot be told apart."""
    apart = samples_first(given, samples, channels_first=unit != given.dim() - 1)
    if apart is None:
        return given.movedim(unit, -1).reshape(-1, 1, given.shape[unit]), False
    return apart.movedim(unit, -1).reshape(samples, -1, given.shape[unit]), True


def _chosen(count: int, most: int, seed: int) -> Tensor:
    """At most so many of `count` places, ascending."""
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most].sort().values


def _kept(
    name: str, layer: nn.Module, given: Tensor, samples: int, most: tuple[int, int], seed: int
) -> LayerInput:
    given = given[:, None] if given.dim() == 1 else given
    unit = 1 if _has_channels(layer, given) else given.dim() - 1
    others = [d for d in range(given.dim()) if d != unit]
    variance, mean = torch.var_mean(given.double(), others, correction=0)
    rows, apart = _rows(given, unit, samples)
    if not apart:
        rows = rows[_chosen(len(rows), most[1] * samples, seed + 2).to(rows.device)]
    units, positions = _chosen(rows.shape[2], most[0], seed), _chosen(rows.shape[1], most[1], seed + 1)
    values = rows[:, positions.to(rows.device)][:, :, units.to(rows.device)]
    return LayerInput(
        name=name,
        kind=type(layer).__name__,
        units=rows.shape[2],
        positions=rows.shape[1],
        values=values.float().cpu().numpy(),
        kept_units=units.numpy(),
        kept_positions=positions.numpy(),
        mean=mean.cpu().numpy(),
        standard_deviation=variance.sqrt().cpu().numpy(),
        samples_apart=apart,
    )


def _digest(inputs: Samples) -> str:
    """The same for the same values, whatever their device."""
    found = hashlib.sha256()
    for tensor in leaves(inputs):
        values = np.ascontiguousarray(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode() + values.tobytes())
    return found.hexdigest()[:16]
