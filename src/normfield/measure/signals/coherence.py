"""How far the terms of every layer's weight gradient agree in sign."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from normfield.measure.signals.calls import affine_layers, is_measured
from normfield.measure.signals.coherence_result import GradientCoherence, LayerCoherence
from normfield.measure.signals.opened import loss_of, opened, outputs_of
from normfield.measure.signals.scales import at_least_float32
from normfield.measure.signals.terms import agreement, is_split
from normfield.measure.subject.function import differentiable
from normfield.measure.subject.layer_calls import numbered
from normfield.measure.subject.one_batch import OneBatch
from normfield.measure.subject.sample_rows import samples_first, with_rows


def gradient_coherence(
    model: nn.Module, batch: Any, loss: Any = "squared", *, statistics: str = "batch", seed: int = 0
) -> GradientCoherence:
    """How far the terms agree whose sum is a layer's weight gradient: |Σ t| / Σ|t|, summed over the weights.

    A weight's gradient is a sum over samples b, and in convolutions over positions p: ∂ℓ/∂W = Σ_b Σ_p t_bp with
    t_bp = d_bp·a_bp of the layer's input a and the gradient d at its output. Coherence is Σ_W|Σ_bp t| / Σ_W Σ_bp|t|:
    1 where all terms of a weight have one sign; where signs are random it is that of a random walk, which
    `random_signs` gives for the terms at hand. Without batch norm convolutions deep inside a network are far above it
    [Bjorck].

    A model in eval mode is taken in training mode; of one in training mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found.
    batch : pair (inputs, targets), or mapping with targets
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use. With "batch" a sample's term holds what it does to the others' through them.
    seed : int
        Of dropout's masks.

    Returns
    -------
    GradientCoherence
        Layers that cannot be split into terms are named with the reason.

    Raises
    ------
    InvalidInput
        A model without trainable parameters, a batch, loss or statistics that do not fit, outputs or a loss that are
        not finite.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.zeros_(model.weight)
    >>> batch = (torch.ones(4, 1), torch.tensor([[1.0], [1.0], [1.0], [-1.0]]))
    >>> gradient_coherence(model, batch).layers[0].coherence
    0.5
    """
    with opened(model, batch, loss, statistics, seed) as subject:
        calls = _passed(subject)
        layers = tuple(_coherence(call, subject.batch.samples) for call in calls if not call.left_out)
    left_out = {call.name: call.left_out for call in calls if call.left_out}
    return GradientCoherence(layers, left_out, subject.batch.samples, subject.loss.name, statistics)


@dataclass(eq=False)
class _Call:
    """One call of an affine layer: what it was given, what it gave, and the gradient there."""

    name: str
    layer: nn.Module
    given: Tensor
    output: Tensor
    left_out: str
    gradient: Tensor


def _passed(subject: OneBatch) -> list[_Call]:
    """Every call with its gradient, after one forward and one backward pass."""
    with _kept_calls(subject.function.model) as calls:
        outputs = outputs_of(subject)
    value = loss_of(subject, outputs)
    if calls:
        with differentiable():
            gradients = torch.autograd.grad(
                value, [call.output for call in calls], allow_unused=True, materialize_grads=True
            )
        for call, gradient in zip(calls, gradients, strict=True):
            call.gradient = gradient.detach()
    for call, name in zip(calls, numbered([call.name for call in calls]), strict=True):
        call.name = name
    return calls


@contextmanager
def _kept_calls(model: nn.Module) -> Iterator[list[_Call]]:
    """While open, inputs and outputs of every affine layer are kept, in the order of the calls."""
    calls: list[_Call] = []

    def keeping(name: str) -> Any:
        reason = _why_not(model.get_submodule(name))

        def keep(layer: nn.Module, args: tuple, keywords: dict, output: object) -> Tensor | None:
            given = next(iter([*args, *keywords.values()]), None)
            if not is_measured(output) or not isinstance(given, Tensor):
                return None
            kept = output if output.requires_grad else output.requires_grad_()
            calls.append(_Call(name, layer, given.detach().clone(), kept, reason, torch.empty(0)))
            return kept.clone()  # so that an operation in place does not reach what is kept

        return keep

    handles = [
        layer.register_forward_hook(keeping(name), with_kwargs=True)
        for name, layer in affine_layers(model).items()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _why_not(layer: nn.Module) -> str:
    """Why a layer's gradient is not split into terms; empty where it is."""
    if not is_split(layer):
        return f"a {type(layer).__name__} is no plain product of inputs and weights"
    weight = layer._parameters.get("weight")
    if weight is None:
        return "its weights are computed from other parameters"
    return "" if weight.requires_grad else "its weights are frozen"


def _coherence(call: _Call, samples: int) -> LayerCoherence:
    a, d = (with_rows(call.layer, values) for values in (call.given, at_least_float32(call.gradient)))
    is_convolution = isinstance(call.layer, _ConvNd)
    d_rows = samples_first(d, samples, channels_first=is_convolution)
    a_rows = samples_first(a, samples, channels_first=is_convolution)
    if d_rows is not None and a_rows is not None:
        a, d = a_rows, d_rows
    weight = torch.zeros(call.layer.get_parameter("weight").shape, dtype=d.dtype, device=d.device)
    found = agreement(call.layer, weight, a.to(d), d)
    units = d.shape[1 if is_convolution else -1]
    return LayerCoherence(
        name=call.name,
        kind=type(call.layer).__name__,
        weights=weight.numel(),
        terms=d.numel() // units,
        coherence=found.coherence,
        across_samples=None if d_rows is None else found.across_samples,
        random_signs=found.random_signs,
    )
