"""The statistics that batch norm uses at inference, from batches: exact, simple or exponential averages."""

from __future__ import annotations

from typing import Any

from torch import nn

from normfield.errors import InvalidInput
from normfield.measure.batch_norm.averages import METHODS, Moments, averaged
from normfield.measure.batch_norm.layer_moments import LayerMoments, layer_moments, norms_of, opened
from normfield.measure.batch_norm.population_result import LayerStatistics, PopulationStatistics
from normfield.measure.subject.function import unwrapped
from normfield.measure.subject.modes import batch_normalised


def population_statistics(
    model: nn.Module, batches: Any, *, method: str = "exact", momentum: float = 0.1, seed: int = 0
) -> PopulationStatistics:
    """Mean and variance of what every batch norm gets, over all batches, in the mode in which the network trains.

    With m_b values per channel in batch b, μ_b and σ_b² its mean and biased variance, M = Σ m_b:

    - "exact": μ = (1/M) Σ m_b μ_b and σ² = (1/(M − 1)) Σ m_b (σ_b² + (μ_b − μ)²), the mean and the unbiased variance of
      all values together (law of total variance);
    - "simple": the plain averages of μ_b and of σ_b² m_b/(m_b − 1) [Ioffe, Alg. 2], which leaves out how much the
      batches' means differ;
    - "exponential": r ← (1 − α) r + α μ_b, and so the variance, α the momentum, begun at mean 0 and variance 1, as
      torch's running statistics are; ``start_weight`` tells what is left of that start.

    Every batch runs once at the present weights: layers above a batch norm see what it gives with the batch's own
    statistics. A layer called several times counts every call. Of a model in training mode, a batch norm that is itself
    in eval mode, as in fine-tuning, trains with its running statistics: it is left out, and named.

    Parameters
    ----------
    model : nn.Module
        Left as it is found; `PopulationStatistics.apply_` writes. One in eval mode is taken in training mode.
    batches : pair, iterable of pairs, or DataLoader
        Targets are not used. A last short batch is left out and counted.
    method : {"exact", "simple", "exponential"}
    momentum : float
        α in (0, 1], of "exponential" alone.
    seed : int
        Of a shuffling loader and of dropout's masks, which differ from batch to batch.

    Returns
    -------
    PopulationStatistics
        With no layers where the module has no batch norm.

    Raises
    ------
    InvalidInput
        Batches that do not fit, an unknown method, a momentum out of range, values that are not finite.

    Examples
    --------
    >>> import torch
    >>> norm = torch.nn.BatchNorm1d(1)
    >>> batches = [(torch.tensor([[0.0], [2.0]]), torch.zeros(2)), (torch.tensor([[4.0], [6.0]]), torch.zeros(2))]
    >>> layer = population_statistics(norm, batches).layers[""]
    >>> layer.mean.tolist(), layer.variance.round(4).tolist()
    ([3.0], [6.6667])
    """
    check_method(method, momentum)
    with opened(model, batches, seed) as (function, read):
        return statistics_from(layer_moments(function, read), method, momentum)


def recalibrate_(
    model: nn.Module, batches: Any, *, method: str = "exact", momentum: float = 0.1, seed: int = 0
) -> PopulationStatistics:
    """Replace the running statistics of every batch norm by those over the batches, in place.

    Nothing else of the model changes; ``num_batches_tracked`` becomes the number of batches that the layer saw. Of a
    model in training mode, batch norms in eval mode keep theirs; for all of them, call it in ``model.eval()``.

    Parameters
    ----------
    model, batches, method, momentum, seed
        As for `population_statistics`.

    Returns
    -------
    PopulationStatistics
        What was written.

    Raises
    ------
    InvalidInput
        As for `population_statistics`; a module without batch norm, with one that keeps no running statistics, or in
        training mode with all of them in eval mode. Nothing is written then.
    """
    norms_of(model, instead="leave it as it is: there is nothing to recalibrate")
    _check_reads_batches(unwrapped(model))
    found = population_statistics(model, batches, method=method, momentum=momentum, seed=seed)
    found.apply_(model)
    return found


def _check_reads_batches(model: nn.Module) -> None:
    if not batch_normalised(model):
        raise InvalidInput(
            expected="a batch norm in training mode, or a model in eval mode as a whole",
            got="a model in training mode with all its batch norms in eval mode, which keep their statistics",
            instead="call model.eval() first",
        )


def check_method(method: str, momentum: float) -> None:
    """Refuse an unknown method and a momentum outside (0, 1]."""
    if method not in METHODS:
        raise InvalidInput(expected=f"method one of {', '.join(METHODS)}", got=repr(method))
    if isinstance(momentum, bool) or not isinstance(momentum, int | float) or not 0 < momentum <= 1:
        raise InvalidInput(expected="momentum above 0 and at most 1", got=repr(momentum))


def statistics_from(noted: LayerMoments, method: str, momentum: float) -> PopulationStatistics:
    """The statistics of every layer that was called."""
    layers = {name: _layer(name, calls, method, momentum) for name, calls in noted.by_layer.items() if calls}
    return PopulationStatistics(
        layers=layers,
        not_called=noted.not_called,
        in_eval_mode=noted.in_eval_mode,
        method=method,
        momentum=momentum if method == "exponential" else None,
        samples=noted.samples,
        batches=noted.batches,
        dropped_samples=noted.dropped_samples,
    )


def _layer(name: str, calls: list[Moments], method: str, momentum: float) -> LayerStatistics:
    found = averaged(calls, method, momentum)
    return LayerStatistics(
        name=name,
        mean=found.mean,
        variance=found.variance,
        mean_error=found.mean_error,
        variance_error=found.variance_error,
        samples=sum(call.values for call in calls),
        calls=len(calls),
        start_weight=found.start_weight,
    )
