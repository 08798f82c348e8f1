"""Mean and variance of every channel of every affine layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from normfield.measure.signals.calls import affine_layers, is_measured
from normfield.measure.signals.channel_result import ChannelMoments, LayerChannels
from normfield.measure.signals.opened import in_training, read_one
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.layer_calls import numbered
from normfield.measure.subject.survey import run_model


def channel_moments(
    model: nn.Module, batch: Any, *, statistics: str = "batch", seed: int = 0
) -> ChannelMoments:
    """Mean and variance of every channel by layer, on one batch in training mode: one forward pass.

    For channel c of an affine layer's outputs z: μ_c = E z_c and v_c = E (z_c − μ_c)², over samples and positions.
    Without batch norm both grow exponentially with depth where a training step went too far [Bjorck].

    A model in eval mode is taken in training mode; of one in training mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found.
    batch : pair (inputs, targets), or mapping with targets
        Targets are not used.
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use.
    seed : int
        Of dropout's masks.

    Returns
    -------
    ChannelMoments
        Empty of layers where the model calls no linear or convolutional layer.

    Raises
    ------
    InvalidInput
        A model without trainable parameters, a batch or statistics that do not fit, a forward that raises.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> _ = torch.nn.init.eye_(model.weight)
    >>> x = torch.tensor([[0.0, 5.0], [2.0, 5.0]])
    >>> found = channel_moments(model, (x, x)).layers[0]
    >>> found.means.tolist(), found.variances.tolist()
    ([1.0, 5.0], [1.0, 0.0])
    """
    function, read = ModelFunction.of(model, seed), read_one(batch)
    with (
        in_training(function, statistics, read),
        torch.no_grad(),
        _channels(function.model) as layers,
    ):
        run_model(function, read.like(function.parameters[0]))
    names = numbered([layer.name for layer in layers])
    named = tuple(layer.called(name) for layer, name in zip(layers, names, strict=True))
    return ChannelMoments(named, read.samples, statistics)


@contextmanager
def _channels(model: nn.Module) -> Iterator[list[LayerChannels]]:
    """While open, the moments of every affine layer's outputs are noted, in the order of the calls."""
    found: list[LayerChannels] = []

    def noting(name: str) -> Any:
        def note(layer: nn.Module, _: object, output: object) -> None:
            if is_measured(output):
                means, variances = _moments(output, isinstance(layer, _ConvNd))
                found.append(LayerChannels(name, type(layer).__name__, means, variances))

        return note

    handles = [layer.register_forward_hook(noting(name)) for name, layer in affine_layers(model).items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _moments(output: Tensor, channels_first: bool) -> tuple[np.ndarray, np.ndarray]:
    """μ (N,) and v (N,) in float64."""
    unit = 1 if channels_first else output.dim() - 1
    others = [dimension for dimension in range(output.dim()) if dimension != unit]
    z = output.detach().double()
    if not others:
        return z.cpu().numpy(), np.zeros(len(z))
    variances, means = torch.var_mean(z, others, correction=0)
    return means.cpu().numpy(), variances.cpu().numpy()
