"""The loss's gradient with respect to the outputs, a row for each sample."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normfield.measure.signals.opened import loss_of, opened, outputs_of
from normfield.measure.signals.output_result import OutputGradients
from normfield.measure.subject.batches import Batches
from normfield.measure.subject.function import differentiable
from normfield.measure.subject.one_batch import OneBatch
from normfield.measure.subject.survey import fitted


def output_gradients(
    model: nn.Module, batch: Any, loss: Any = "squared", *, statistics: str = "batch", seed: int = 0
) -> OutputGradients:
    """The gradient ∂ℓ/∂f of a batch's loss by its outputs f, samples × outputs, and how far its rows agree.

    Without batch norm the rows of a network at its random start agree, since all samples are sent to nearly one
    output; then nothing cancels in Σ_b ∂ℓ/∂f_b and every gradient below is large [Bjorck].
    With g_b the rows: agreement is the mean cosine between two of them, coherence Σ_c|Σ_b g_bc| / Σ_bc|g_bc|.

    A model in eval mode is taken in training mode; of one in training mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found.
    batch : pair (inputs, targets), or mapping with targets
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use.
    seed : int
        Of dropout's masks.

    Returns
    -------
    OutputGradients
        Outputs of several dimensions side by side in one row; so too, for a callable loss, those of several tensors.

    Raises
    ------
    InvalidInput
        A model without trainable parameters, a batch, loss or statistics that do not fit, outputs or a loss that are
        not finite.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1)
    >>> _ = torch.nn.init.zeros_(model.weight), torch.nn.init.zeros_(model.bias)
    >>> found = output_gradients(model, (torch.ones(2, 1), torch.tensor([[4.0], [-2.0]])))
    >>> found.matrix.tolist(), found.coherence
    ([[-2.0], [1.0]], 0.3333333333333333)
    """
    with opened(model, batch, loss, statistics, seed) as subject:
        rows = _rows(subject)
    agreement, error = mean_cosine_of_rows(rows)
    return OutputGradients(rows, agreement, error, subject.loss.name, statistics)


def _rows(subject: OneBatch) -> np.ndarray:
    """∂ℓ/∂f as (m, K), float64."""
    function, loss = fitted(subject.function, subject.loss, Batches((subject.batch,)))
    whole = replace(subject, function=function, loss=loss)
    with torch.no_grad():
        outputs: Tensor = outputs_of(whole)
    at = outputs.detach().requires_grad_()
    value = loss_of(whole, at)
    with differentiable():
        (gradient,) = torch.autograd.grad(value, at)
    return gradient.reshape(len(at), -1).double().cpu().numpy()


def mean_cosine_of_rows(rows: np.ndarray) -> tuple[float | None, float | None]:
    """Mean cosine over pairs of different rows other than 0, and its jackknife standard error over rows.

    With unit rows u_b and S their sum: (‖S‖² − m)/(m(m − 1)), and the same without each row in turn.
    """
    norms = np.linalg.norm(rows, axis=1)
    units = rows[norms > 0] / norms[norms > 0, None]
    count = len(units)
    if count < 2:
        return None, None
    total = units.sum(0)
    mean = float((total @ total - count) / (count * (count - 1)))
    if count < 3:
        return mean, None
    left = np.square(total - units).sum(1)
    without = (left - (count - 1)) / ((count - 1) * (count - 2))
    spread = np.square(without - without.mean()).sum()
    return mean, math.sqrt((count - 1) / count * spread)
