"""The loss and its gradient at points along a straight line from the present parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.landscape.landscape_result import Landscape
from normfield.measure.landscape.steps import check_rate, read_direction, read_steps
from normfield.measure.subject.objective import Objective, Pieces, Slope, distance, objective, squared_norm


def _moved(parameters: Sequence[Tensor], direction: Pieces, step: float) -> Pieces:
    """x − a·d."""
    with torch.no_grad():
        return tuple(p - step * d for p, d in zip(parameters, direction, strict=True))


def _slope_there(measured: Objective, there: Pieces, step: float) -> Slope:
    """ℓ and ∇ℓ at a point of the line, or one line on what its forward raised."""
    try:
        return measured.mean_slope(there)
    except (InvalidInput, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise InvalidInput(
            expected="a model that runs at every step along the line",
            got=f"{type(error).__name__} at step {step:.3g}: {error}",
            instead="give smaller steps",
        ) from error


def _row(measured: Objective, start: Slope, direction: Pieces, step: float) -> tuple[float, float, float]:
    """(loss, ‖g − g(x − a·d)‖, distance moved) of one step."""
    there = _moved(measured.function.parameters, direction, step)
    found = _slope_there(measured, there, step)
    change = distance(found.gradient, start.gradient)
    return found.value, change, distance(there, measured.function.parameters)


def _start(measured: Objective) -> Slope:
    """ℓ and ∇ℓ at the present parameters."""
    found = measured.mean_slope()
    if not math.isfinite(squared_norm(found.gradient)):
        raise InvalidInput(
            expected="a finite gradient to walk along",
            got="NaN or infinite values in it",
            instead="check the loss at outputs of this size",
        )
    return found


def landscape(
    model: nn.Module,
    batch: Any,
    loss: Any = "squared",
    *,
    learning_rate: float = 0.1,
    steps: Sequence[float] | None = None,
    points: int = 8,
    statistics: str = "batch",
    direction: Mapping[str, Tensor] | Tensor | None = None,
    seed: int = 0,
) -> Landscape:
    """Measure the loss and its gradient along the gradient: how far one step can trust it.

    With g = ∇ℓ(x) at the parameters x, and steps a:

    - the losses ℓ(x − a·g), their range [Santurkar, Fig. 4a], and ℓ(x − a·g)/ℓ(x) [Bjorck, Fig. 3];
    - gradient predictiveness ‖g − ∇ℓ(x − a·g)‖ [Santurkar, Fig. 4b];
    - effective smoothness max_a ‖g − ∇ℓ(x − a·g)‖/‖a·g‖ [Santurkar, Fig. 4c], in units of curvature.

    One gradient at the start and one for each step, ``points + 1`` in all, and two forward passes to check the input.

    A model in eval mode is taken in training mode, dropout with the same masks at every evaluation; of one in training
    mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found. Only trainable parameters move.
    batch : pair (inputs, targets), or several
        Of several the mean loss counts, each with its own batch-norm statistics and as heavy as it has samples.
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
    learning_rate : float
        Steps go from ½ to 4 times this one, geometrically [Santurkar, Section 3.1].
    steps : sequence of float, optional
        Others instead, such as `numpy.geomspace(0.01, 30, 12) * learning_rate` of Santurkar's linear network.
    points : int
        How many steps, at least 2, where none are given.
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use, anew at every point.
    direction : mapping of str to Tensor, or Tensor, optional
        d in x − a·d instead of the gradient, by parameter name or flat (P,): an optimizer's update, for example.
        Parameters that a mapping does not name stay where they are.
    seed : int
        Of dropout's masks, which are alike at every point, and of a shuffling loader.

    Returns
    -------
    Landscape

    Raises
    ------
    InvalidInput
        A model, batch, loss, statistics, step or direction that does not fit; a loss that is not finite at the start.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> batch = (torch.ones(2, 1), torch.full((2, 1), 3.0))
    >>> found = landscape(layer, batch, learning_rate=1.0, points=4)
    >>> round(found.effective_smoothness, 4), found.gradient_evaluations
    (1.0, 5)
    """
    started = time.perf_counter()
    rate = check_rate(learning_rate)
    wanted = read_steps(steps, rate, points)
    with objective(model, batch, loss, statistics, seed) as measured:
        given = None if direction is None else read_direction(measured.function, direction)
        start = _start(measured)
        towards = start.gradient if given is None else given
        rows = [_row(measured, start, towards, float(step)) for step in wanted]
    losses, changes, distances = (np.array(column) for column in zip(*rows, strict=True))
    return Landscape(
        steps=wanted,
        losses=losses,
        gradient_predictiveness=changes,
        distances=distances,
        initial_loss=start.value,
        gradient_norm=math.sqrt(squared_norm(start.gradient)),
        direction="gradient" if given is None else "given",
        learning_rate=rate if steps is None else None,
        gradient_evaluations=1 + len(rows),
        loss=measured.loss.name,
        statistics=statistics,
        samples=measured.batches.samples,
        batches=len(measured.batches.items),
        dropped_samples=measured.batches.dropped_samples,
        seconds=time.perf_counter() - started,
        assumes=measured.assumes,
    )
