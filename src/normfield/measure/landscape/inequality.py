"""Santurkar's theorems on gradient and curvature, checked at every batch norm of a module."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.errors import InvalidInput
from normfield.measure.landscape.inequality_result import GradientInequality, LayerInequality
from normfield.measure.landscape.normed_calls import named_apart, normed_calls
from normfield.measure.landscape.theorems import both_theorems
from normfield.measure.matrix.prepared import check_count
from normfield.measure.subject.function import differentiable
from normfield.measure.subject.modes import batch_normalised, batch_norms
from normfield.measure.subject.one_batch import OneBatch, one_batch


def _chosen(model: nn.Module, layers: Any) -> dict[str, _BatchNorm]:
    """All batch norms that normalise by the batch, or those that were named."""
    found = batch_normalised(model)
    if layers is None:
        return found
    names = (
        [layers] if isinstance(layers, str) else list(layers) if isinstance(layers, Sequence) else [layers]
    )
    strange = [name for name in names if name not in found]
    if strange or not names:
        known = ", ".join(map(repr, list(found)[:4])) or "none"
        raise InvalidInput(
            expected="layers as names of batch norms",
            got=_words(model, strange[0]) if strange else "no name",
            instead=f"leave it out for all; this module has {known}{', …' if len(found) > 4 else ''}",
        )
    return {name: found[name] for name in names}


def _words(model: nn.Module, name: Any) -> str:
    """A name that is none of them, and what it is where it is nearly one."""
    near = name in batch_norms(model)
    return f"{name!r}, which is in eval mode and does not read the batch" if near else repr(name)


def _measured(subject: OneBatch, layers: dict[str, _BatchNorm], units: int | None) -> list[LayerInequality]:
    with normed_calls(layers) as calls:
        value = subject.value()
    if not calls:
        return []
    places = [call.outputs for call in calls] + [call.inputs for call in calls]
    with differentiable():
        slopes = torch.autograd.grad(
            value, places, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return [
            both_theorems(name, call, g, g_hat, units)
            for name, call, g, g_hat in zip(
                named_apart(calls), calls, slopes[: len(calls)], slopes[len(calls) :], strict=True
            )
        ]


def gradient_inequality(
    model: nn.Module,
    batch: Any,
    loss: Any = "squared",
    *,
    layers: Sequence[str] | str | None = None,
    units: int | None = 4,
    seed: int = 0,
) -> GradientInequality:
    """Check what batch norm does to gradient and curvature at its own place, on your module and batch.

    At one unit with inputs y, outputs z = γŷ + β and σ² = var y + ε over m samples and positions, with g = ∂ℓ/∂z the
    gradient without batch norm at the same output and ĝ = ∂ℓ/∂y that with it:

    - ‖ĝ‖² ≤ γ²/σ²·(‖g‖² − ⟨1, g⟩²/m − ⟨g, ŷ⟩²/m) [Santurkar, Theorem 4.1];
    - ĝᵀĤĝ = (γ²/σ²)ĝᵀHĝ − (γ/(mσ²))⟨g, ŷ⟩‖ĝ‖² at ε = 0, H and Ĥ the Hessians by z and by y [Theorem 4.2].

    The first is an equation at ε = 0, and at any ε with the last coefficient 2 − ‖ŷ‖²/m; the second has a form for any
    ε too. The left-hand sides come from automatic differentiation, the right-hand sides from the formulas.

    Both are equations of real numbers, and the module computes in floating-point ones: where a unit's |mean| is large
    beside σ, y − mean loses digits, and the two sides differ by more. Then the result says so, and that the same in
    float64 (``model.double()``) tells more.

    A model in eval mode is taken in training mode, dropout with the same masks at every evaluation; of one in training
    mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found. Batch norms normalise by the batch; one in eval mode inside a model in training mode keeps
        its running statistics, the theorems say nothing of it, and it is left out.
    batch : pair (inputs, targets)
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
    layers : sequence of str, optional
        Names of batch norms that normalise by the batch; all of them by default.
    units : int or None
        For how many units of each layer, those with the largest ‖ĝ‖, the curvature is measured: three products with
        a Hessian each. None: for all.
    seed : int
        Of dropout's masks.

    Returns
    -------
    GradientInequality
        Empty of layers where the module calls no batch norm.

    Raises
    ------
    InvalidInput
        A model, batch, loss or name that does not fit; an operation without a second derivative.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1)).double()
    >>> batch = (torch.eye(4, 2).double(), torch.arange(4.0)[:, None])
    >>> found = gradient_inequality(model, batch)
    >>> found.holds, found.layers[0].name
    (True, '1')
    """
    started = time.perf_counter()
    check_count("units", units)
    with one_batch(model, batch, loss, "batch", seed) as subject:
        chosen = _chosen(subject.function.model, layers)
        found = _measured(subject, chosen, units)
        dtype = subject.function.dtype
    return GradientInequality(
        layers=tuple(found),
        round_off=torch.finfo(dtype).eps ** 0.5,
        precision=str(dtype).removeprefix("torch."),
        samples=subject.batch.samples,
        loss=subject.loss.name,
        seconds=time.perf_counter() - started,
    )
