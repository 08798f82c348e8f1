"""The scatter of gradients across mini-batches, or across samples where a sample has a gradient of its own."""

from __future__ import annotations

import time
from typing import Any

from torch import nn

from normfield.measure.noise.draws import Draws, draws_of
from normfield.measure.noise.noise_result import GradientNoise
from normfield.measure.noise.scatter import scaled, scatter
from normfield.measure.subject.objective import objective


def _assumes(draws: Draws) -> tuple[str, ...]:
    """What C means where it was read from mini-batches."""
    if draws.unit == "samples":
        return ()
    return (
        f"{draws.reason}: C is {draws.size} times the scatter of mini-batch gradients, and holds for other batch "
        "sizes as far as that scatter falls like 1/|B|",
    )


def gradient_noise(
    model: nn.Module, batches: Any, loss: Any = "squared", *, statistics: str = "batch", seed: int = 0
) -> GradientNoise:
    """Measure how far the gradients of mini-batches scatter around that of the loss.

    With ℓ_i the loss of a sample and ℓ their mean, C = E‖∇ℓ_i − ∇ℓ‖², and a step of SGD with learning rate α on a
    batch of |B| out of N samples, drawn without replacement, misses that of gradient descent by [Bjorck, Section 4.1]

    E‖α∇ℓ − α∇_SGD‖² = α²·C/|B|·(N − |B|)/(N − 1).

    Where samples meet in the model, a sample has no gradient of its own: with batch norm in training mode, and wherever
    a batch's gradient is another than the mean of its samples' gradients, which is tried on the first batch. Then C
    is |B| times the scatter across the mini-batches given; `unit` says which of both it is.

    A model in eval mode is taken in training mode, dropout with the same masks at every evaluation; of one in training
    mode every submodule stays as it is.

    Parameters
    ----------
    model : nn.Module
        Left as it is found.
    batches : iterable of pairs, or DataLoader
        Mini-batches of one size as they come in training, drawn independently; at least 4, for an error worth its
        name 16 or more. Where samples do not meet one batch is enough.
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
        A mean over samples.
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use; with "running" samples do not meet in them.
    seed : int
        Of dropout's masks, which are alike in every batch and so no part of the noise, and of a shuffling loader.

    Returns
    -------
    GradientNoise

    Raises
    ------
    InvalidInput
        A model, batches, loss or statistics that do not fit; too few batches, or such of several sizes; a loss that
        is a sum over samples; gradients that are not finite.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.zeros_(layer.weight)
    >>> found = gradient_noise(layer, (torch.ones(4, 1), torch.tensor([[1.0], [2.0], [3.0], [4.0]])))
    >>> round(found.covariance_trace, 4), found.unit
    (1.6667, 'samples')
    """
    started = time.perf_counter()
    with objective(model, batches, loss, statistics, seed) as measured:
        draws = draws_of(measured)
        found = scatter(draws.rows, measured.function.size)
    trace = scaled(found.trace, lambda value: draws.size * value)
    ratio = scaled(found.ratio, lambda value: value / draws.size)
    return GradientNoise(
        covariance_trace=trace.value,
        standard_error=trace.standard_error,
        squared_gradient=found.squared_mean.value,
        squared_gradient_error=found.squared_mean.standard_error,
        signal_to_noise=ratio.value,
        signal_to_noise_error=ratio.standard_error,
        unit=draws.unit,
        batch_size=draws.size,
        draws=found.count,
        loss=measured.loss.name,
        statistics=statistics,
        samples=measured.batches.samples,
        dropped_samples=measured.batches.dropped_samples,
        seconds=time.perf_counter() - started,
        assumes=(*measured.assumes, *_assumes(draws)),
    )
