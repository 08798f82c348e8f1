"""Which weights a loss does not feel the length of.

[Arora] is Arora, Li and Lyu, "Theoretical analysis of auto rate-tuning by batch normalization", ICLR 2019;
[van Laarhoven] is "L2 regularization versus batch and weight normalization", 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.invariance.scaling_result import ScaledWeight, ScaleInvariance
from normfield.measure.invariance.unit_rows import UnitRows
from normfield.measure.subject.one_batch import OneBatch, one_batch


def scale_invariance(
    model: nn.Module,
    batch: Any,
    loss: Any = "squared",
    *,
    scale: float = 2.0,
    tolerance: float = 1e-3,
    weights: Sequence[str] | None = None,
    statistics: str = "batch",
    seed: int = 0,
) -> ScaleInvariance:
    """Find the weights whose length does not matter to the loss, as of layers in front of a batch norm.

    Such a weight W satisfies, for every c > 0,

        ℓ(cW) = ℓ(W),    ⟨W, ∇ℓ⟩ = 0,    ∇ℓ(cW) = ∇ℓ(W)/c,

    so that a step η moves its direction by η/‖W‖² [van Laarhoven; Arora]. All three are measured, c being `scale`:
    the relative change of the loss, the cosine of W with its gradient, and ‖c∇ℓ(cW) − ∇ℓ(W)‖/‖∇ℓ(W)‖, which is of
    order 1 for other weights also where the loss hardly depends on them. In front of a batch norm every unit
    of a weight has this property by itself: the same is measured with each unit times a factor of its own, c or 1/c
    by chance, and the cosine by unit.

    A weight's units are called invariant where each is orthogonal to its gradient, up to `tolerance`, and there are
    at least four, or loss and gradient do not change when they are scaled (by at most `tolerance` and 0.1); the whole
    weight where it is orthogonal to its gradient and its units are invariant or loss and gradient do not change when
    it is scaled. The cosines are the surer sign: a batch norm's ε makes them about ε over the variance of its input,
    while in a deep network whose gradients explode what ε or round-off changes grows on its way up. Two passes
    forwards and backwards are made for each weight.

    A model in eval mode is taken in training mode, dropout with the same masks at every evaluation; of one in training
    mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found. Its weights are its trainable parameters of two dimensions or more; the first dimension
        counts the units, of transposed convolutions the second one in each group.
    batch : pair (inputs, targets)
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
    scale : float
        c, at least 1.5, so that a change can be told from none.
    tolerance : float
        Of the relative change of the loss and of the cosines, below 1.
    weights : sequence of str, optional
        Names of parameters to measure; by default every weight.
    statistics : {"batch", "running"}
        Which statistics batch norms use; frozen ones would be taken anew for every scaled weight.
    seed : int
        Of the factors of the units, and of random draws in the model.

    Returns
    -------
    ScaleInvariance

    Raises
    ------
    InvalidInput
        A module, batch or loss that do not fit; no weight, or a name of none; a scale or tolerance that is
        none.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3, eps=1e-12), torch.nn.Linear(3, 1))
    >>> batch = (torch.tensor([[0.0, 1.0], [2.0, 1.0], [1.0, 3.0]]), torch.zeros(3, 1))
    >>> scale_invariance(model, batch).invariant
    ('0.weight',)
    """
    _check(scale, tolerance, statistics)
    with one_batch(model, batch, loss, statistics, seed) as held:
        places = _weights(held, weights)
        whole = float(held.value().detach())
        gradients = held.gradient()
        found = [_scaled(held, i, gradients[i], whole, (scale, tolerance), seed) for i in places]
    return ScaleInvariance(
        weights=tuple(found),
        scale=float(scale),
        tolerance=float(tolerance),
        loss_value=whole,
        samples=held.batch.samples,
        loss=held.loss.name,
        statistics=statistics,
    )


def _check(scale: Any, tolerance: Any, statistics: str) -> None:
    if not _is_number(scale) or not 1.5 <= scale < math.inf:
        raise InvalidInput(
            expected="a finite scale of at least 1.5", got=repr(scale), instead="use scale=2.0"
        )
    if not _is_number(tolerance) or not 0 < tolerance < 1:
        raise InvalidInput(
            expected="a tolerance above 0 and below 1", got=repr(tolerance), instead="use tolerance=1e-3"
        )
    if statistics == "frozen":
        raise InvalidInput(
            expected='statistics="batch" or "running" for scale invariance',
            got='"frozen", which every scaled weight would change',
            instead='use statistics="batch"',
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _weights(held: OneBatch, names: Sequence[str] | None) -> list[int]:
    """Places of the weights that are asked for, in the module's order."""
    known = {name: i for i, name in enumerate(held.function.names) if held.function.parameters[i].dim() > 1}
    if not known:
        raise InvalidInput(
            expected="a module with trainable weights of two dimensions or more",
            got=f"{type(held.function.model).__name__} without",
            instead="set requires_grad=True on them",
        )
    if names is None:
        return list(known.values())
    if isinstance(names, str) or not isinstance(names, Sequence) or not names or set(names) - set(known):
        raise InvalidInput(
            expected="weights as a sequence of names of trainable weights",
            got=repr(names),
            instead=f"this module's begin with {', '.join(map(repr, list(known)[:4]))}",
        )
    return [known[name] for name in known if name in names]


def _at(held: OneBatch, place: int, weight: Tensor) -> tuple[float, Tensor]:
    """ℓ and its gradient in one weight, with all others constant so that the backward pass ends there."""
    function, name = held.function, held.function.names[place]
    leaf = weight.detach().requires_grad_()
    others = {
        key: p.detach() for key, p in zip(function.names, function.parameters, strict=True) if key != name
    }
    alone = replace(function, names=(name,), parameters=(leaf,), frozen={**function.frozen, **others})
    value = replace(held, function=alone).value()
    return float(value.detach()), alone.gradient(value).reshape(weight.shape)


def _unit_factors(weight: Tensor, units: UnitRows, scale: float, seed: int) -> Tensor:
    """c or 1/c for every unit."""
    up = torch.rand(units.count(weight), generator=torch.Generator().manual_seed(seed)) < 0.5
    return units.factors(torch.where(up, scale, 1 / scale).to(weight), weight)


def _cosines(weight: Tensor, gradient: Tensor) -> Tensor:
    """⟨W_j, ∂_j ℓ⟩/(‖W_j‖‖∂_j ℓ‖) by row, NaN where either is 0."""
    product = weight.norm(dim=1) * gradient.norm(dim=1)
    return torch.where(product > 0, (weight * gradient).sum(1) / product, math.nan)


def _ratio(difference: float, whole: float) -> float:
    return difference / whole if whole else (math.inf if difference else 0.0)


def _changes(
    held: OneBatch, place: int, factor: Tensor | float, value: float, gradient: Tensor
) -> tuple[float, float]:
    """Relative change of the loss, and of factor·∇ℓ, when one weight is multiplied."""
    moved, slope = _at(held, place, held.function.parameters[place] * factor)
    difference = (factor * slope).double() - gradient.double()
    of_gradient = _ratio(float(difference.norm()), float(gradient.double().norm()))
    return _ratio(abs(moved - value), abs(value)), of_gradient


def _scaled(
    held: OneBatch, place: int, gradient: Tensor, value: float, limits: tuple[float, float], seed: int
) -> ScaledWeight:
    scale, tolerance = limits
    parameter, name = held.function.parameters[place], held.function.names[place]
    units = UnitRows.of(held.function.model, name)
    w, g = (units.rows(x.detach().double()) for x in (parameter, gradient))
    whole = _changes(held, place, scale, value, gradient)
    by_unit = _changes(held, place, _unit_factors(parameter, units, scale, seed), value, gradient)
    return ScaledWeight(
        name=name,
        parameters=parameter.numel(),
        norm=float(w.norm()),
        gradient=float(g.norm()),
        loss_change=whole[0],
        gradient_change=whole[1],
        unit_loss_change=by_unit[0],
        unit_gradient_change=by_unit[1],
        cosine=float(_cosines(w.flatten()[None], g.flatten()[None])),
        unit_norms=w.norm(dim=1).cpu().numpy(),
        unit_cosines=_cosines(w, g).cpu().numpy(),
        tolerance=tolerance,
    )
