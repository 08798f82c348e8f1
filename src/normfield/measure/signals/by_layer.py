"""Signal and gradient scale by layer: one forward and one backward pass over a batch, in training mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normfield.measure.signals.calls import AffineCall, affine_calls
from normfield.measure.signals.layer_result import LayerSignal, LayerSignals
from normfield.measure.signals.opened import loss_of, opened, outputs_of
from normfield.measure.signals.scales import norm
from normfield.measure.subject.function import ModelFunction, differentiable
from normfield.measure.subject.layer_calls import numbered
from normfield.measure.subject.one_batch import OneBatch


def signals(
    model: nn.Module, batch: Any, loss: Any = "squared", *, statistics: str = "batch", seed: int = 0
) -> LayerSignals:
    """How large signals and gradients are at every affine layer, on one batch in training mode.

    With z the outputs of a layer on m samples and ℓ the batch's loss: √(E z²), ‖∂ℓ/∂z‖, ‖∂ℓ/∂W‖, the mean cosine
    between two samples, and from the Gram matrix G = zzᵀ (m × m, over units and positions) its effective rank
    (tr G)²/‖G‖_F² and the orthogonality gap V = ‖G/tr G − 1/m‖_F [Daneshmand 2021]. One forward and one backward
    pass: outputs are looked at as they pass, none is kept.

    The samples of a layer's outputs are those of the first dimension where it counts as many as the batch; where it
    does not, those of the only other dimension that does, as in (positions, samples, units). Where there is none, as of
    windows that are folded into the first dimension, what compares samples is None.

    A model in eval mode is taken in training mode; of one in training mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found, its hooks included.
    batch : pair (inputs, targets), or mapping with targets
        The samples that share batch norm's statistics; inputs may be nested.
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use.
    seed : int
        Of dropout's masks.

    Returns
    -------
    LayerSignals
        Empty of layers where the model calls no linear or convolutional layer.

    Raises
    ------
    InvalidInput
        A model without trainable parameters, a batch, loss or statistics that do not fit, outputs or a loss that are
        not finite.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False))
    >>> _ = torch.nn.init.ones_(model[0].weight)
    >>> found = signals(model, (torch.eye(2).repeat(2, 1), torch.zeros(4, 1)))
    >>> found.layers[0].mean_square, found.layers[0].effective_rank
    (1.0, 1.0)
    """
    with opened(model, batch, loss, statistics, seed) as subject:
        return measured(subject, statistics)


def measured(subject: OneBatch, statistics: str) -> LayerSignals:
    """Of a model that is held in place, at the parameters of the subject's function."""
    function = subject.function
    with affine_calls(function.model, subject.batch.samples) as calls:
        outputs = outputs_of(subject)
    value = loss_of(subject, outputs)
    leaves = [call.leaf for call in calls if call.leaf is not None]
    with differentiable():
        gradients = torch.autograd.grad(
            value, (*leaves, *function.parameters), allow_unused=True, materialize_grads=True
        )
    sizes = _weight_sizes(function, gradients[len(leaves) :])
    names = numbered([call.name for call in calls])
    layers = tuple(_signal(name, call, sizes) for name, call in zip(names, calls, strict=True))
    return LayerSignals(layers, subject.batch.samples, subject.loss.name, statistics, float(value.detach()))


def _weight_sizes(function: ModelFunction, gradients: Sequence[Tensor]) -> dict[int, tuple[float, float]]:
    """‖W‖ and ‖∂ℓ/∂W‖ by the identity of the model's own parameter."""
    own = dict(function.model.named_parameters())
    return {
        id(own[name]): (norm(parameter.detach()), norm(gradient.to_dense()))
        for name, parameter, gradient in zip(function.names, function.parameters, gradients, strict=True)
        if parameter.dim() > 1
    }


def _signal(name: str, call: AffineCall, sizes: Mapping[int, tuple[float, float]]) -> LayerSignal:
    weight, weight_gradient = sizes.get(id(call.layer._parameters.get("weight")), (None, None))
    return LayerSignal(
        name=name,
        kind=type(call.layer).__name__,
        units=call.units,
        positions=call.positions,
        mean_square=call.signal.mean_square,
        standard_deviation=call.signal.standard_deviation,
        gradient=call.gradient.norm,
        weight=weight,
        weight_gradient=weight_gradient,
        correlation=call.signal.correlation,
        mean=call.signal.mean,
        dead_fraction=call.gradient.dead_fraction,
        effective_rank=call.signal.effective_rank,
        orthogonality_gap=call.signal.orthogonality_gap,
    )
