"""Gradient shift: a layer's gradient before and after the layers below it made their step.

[Santurkar] is Santurkar, Tsipras, Ilyas and Madry, "How does batch normalization help optimization?", NeurIPS 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.shift.gradient_result import GradientShift, LayerGradientShift
from normfield.measure.subject.layer_calls import call_order
from normfield.measure.subject.one_batch import OneBatch, one_batch


def gradient_shift(
    model: nn.Module,
    batch: Any,
    loss: Any = "squared",
    *,
    learning_rate: float,
    layers: Sequence[str] | None = None,
    statistics: str = "batch",
    seed: int = 0,
) -> GradientShift:
    """How much the step of the layers below changes every layer's gradient: internal covariate shift as optimisation.

    With W_1 … W_k the parameters of the layers in the order in which the forward pass first calls them, and
    W′ = W − η∇ℓ(W) one step of gradient descent on this batch [Santurkar, Definition 2.1],

        G_i = ∂ℓ/∂W_i at (W_1, …, W_k),    G′_i = ∂ℓ/∂W_i at (W′_1, …, W′_{i−1}, W_i, …, W_k).

    One gradient is evaluated for each layer that is asked for, and one at W.

    A model in eval mode is taken in training mode, dropout with the same masks at every evaluation; of one in training
    mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found. A layer is a submodule with trainable parameters of its own.
    batch : pair (inputs, targets)
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
    learning_rate : float
        η > 0.
    layers : sequence of str, optional
        Names of layers to report; all of them step all the same. By default those with a parameter of two
        dimensions or more: weights, not the scales and shifts of norms.
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use; "frozen" are those of the batch at the parameters in question.
    seed : int
        Of random draws in the model, alike in every evaluation.

    Returns
    -------
    GradientShift
        The first layer's gradient does not change, since nothing below it steps.

    Raises
    ------
    InvalidInput
        A module, batch, loss or statistics that do not fit; a learning rate that is not positive and finite; a layer
        without trainable parameters.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False))
    >>> for weight in model.parameters():
    ...     _ = torch.nn.init.ones_(weight)
    >>> shift = gradient_shift(model, (torch.ones(1, 1), torch.zeros(1, 1)), learning_rate=0.5)
    >>> [layer.difference for layer in shift.layers]  # W₁ = 1 - 0.5 and G = W₁²W₂
    [0.0, 0.75]
    """
    _check_rate(learning_rate)
    with one_batch(model, batch, loss, statistics, seed) as held:
        groups = _groups(held)
        wanted = _wanted(groups, held, layers)
        old = held.gradient()
        new = [p.detach() - learning_rate * g for p, g in zip(held.function.parameters, old, strict=True)]
        found = [_moved(held, groups, name, old, new) for name in wanted]
    return GradientShift(
        layers=tuple(found),
        learning_rate=float(learning_rate),
        samples=held.batch.samples,
        gradient_evaluations=1 + len(found),
        loss=held.loss.name,
        statistics=statistics,
    )


def _check_rate(rate: Any) -> None:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise InvalidInput(expected="learning_rate as a finite number above 0", got=repr(rate))


def _groups(held: OneBatch) -> dict[str, list[int]]:
    """Places of every layer's own trainable parameters, the layers in the order of their first calls."""
    owners = [name.rpartition(".")[0] for name in held.function.names]
    order = call_order(held.function, held.batch.inputs)
    return {
        owner: [i for i, other in enumerate(owners) if other == owner]
        for owner in sorted(dict.fromkeys(owners), key=order.__getitem__)
    }


def _wanted(groups: dict[str, list[int]], held: OneBatch, layers: Sequence[str] | None) -> list[str]:
    """The layers to report, in the order of the calls."""
    if layers is None:
        parameters = held.function.parameters
        return [name for name, places in groups.items() if any(parameters[i].dim() > 1 for i in places)]
    known = ", ".join(repr(name) for name in list(groups)[:5])
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise InvalidInput(
            expected="layers as a sequence of names", got=repr(layers), instead=f"choose from {known}"
        )
    for name in layers:
        if name not in groups:
            raise InvalidInput(
                expected="layers with trainable parameters of their own",
                got=repr(name),
                instead=f"this module's begin with {known}",
            )
    return [name for name in groups if name in layers]


def _moved(
    held: OneBatch, groups: dict[str, list[int]], name: str, old: Sequence[Tensor], new: Sequence[Tensor]
) -> LayerGradientShift:
    """G and G′ of one layer."""
    names = list(groups)
    below = {place for other in names[: names.index(name)] for place in groups[other]}
    at = [new[i] if i in below else p for i, p in enumerate(held.function.parameters)]
    after = held.gradient(at) if below else old
    return _compared(
        name or "the module",
        *(torch.cat([g[i].double().flatten() for i in groups[name]]) for g in (old, after)),
    )


def _compared(name: str, before: Tensor, after: Tensor) -> LayerGradientShift:
    norm, moved, difference = (float(vector.norm()) for vector in (before, after, before - after))
    product = norm * moved
    return LayerGradientShift(
        name=name,
        gradient=norm,
        moved_gradient=moved,
        difference=difference,
        relative=difference / norm if norm else math.nan,
        cosine=float(before @ after) / product if 0 < product < math.inf else math.nan,
    )
