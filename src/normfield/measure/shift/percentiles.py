"""Percentiles of what layers are given, as Ioffe and Szegedy followed them through training.

[Ioffe] is Ioffe and Szegedy, "Batch normalization", ICML 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from normfield.errors import InvalidInput
from normfield.measure.shift.percentile_result import InputPercentiles, LayerPercentiles
from normfield.measure.shift.snapshot_result import LayerInput
from normfield.measure.shift.snapshots import layer_inputs


def input_percentiles(
    model: nn.Module,
    batch: Any,
    *,
    percentiles: Sequence[float] = (15, 50, 85),
    layers: Sequence[str] | None = None,
    units: int = 64,
    positions: int = 8,
    statistics: str = "batch",
    seed: int = 0,
) -> InputPercentiles:
    """Percentiles of what every layer is given, of single units and of all together [Ioffe, Fig. 1].

    Taken at intervals of training on one batch they show internal covariate shift: name the layer of an activation,
    such as the last hidden sigmoid, to see what it is given.

    Parameters
    ----------
    model : nn.Module
        Left as it is found; in eval mode it is taken in training mode, as for `layer_inputs`.
    batch : pair (inputs, targets)
        Targets are not used.
    percentiles : sequence of float
        From 0 to 100; between two values they are interpolated linearly.
    layers, units, positions, statistics, seed
        As for `layer_inputs`.

    Returns
    -------
    InputPercentiles

    Raises
    ------
    InvalidInput
        As for `layer_inputs`; percentiles outside 0 to 100.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(11.0)[:, None]
    >>> input_percentiles(torch.nn.Linear(1, 1), (x, x)).layers[0].values.tolist()
    [1.5, 5.0, 8.5]
    """
    wanted = _checked(percentiles)
    kept = layer_inputs(
        model, batch, layers=layers, units=units, positions=positions, statistics=statistics, seed=seed
    )
    found = tuple(_of_layer(layer, wanted) for layer in kept.layers)
    return InputPercentiles(found, wanted, kept.samples, kept.statistics, kept.seed)


def _checked(percentiles: Any) -> tuple[float, ...]:
    plain_form = percentiles.tolist() if isinstance(percentiles, np.ndarray) else percentiles
    numbers = list(plain_form) if isinstance(plain_form, Sequence) else [plain_form]
    plain = all(isinstance(q, int | float) and not isinstance(q, bool) for q in numbers)
    if not numbers or not plain or not all(0 <= q <= 100 for q in numbers):
        raise InvalidInput(
            expected="percentiles from 0 to 100", got=repr(percentiles), instead="as in (15, 50, 85)"
        )
    return tuple(float(q) for q in numbers)


def _of_layer(layer: LayerInput, percentiles: tuple[float, ...]) -> LayerPercentiles:
    by_unit = np.percentile(layer.values.astype(np.float64), percentiles, axis=(0, 1)).T
    return LayerPercentiles(
        name=layer.name,
        kind=layer.kind,
        values=np.percentile(layer.values.astype(np.float64), percentiles),
        by_unit=by_unit,
        units=tuple(layer.kept_units.tolist()),
    )
