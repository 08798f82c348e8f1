"""λ_max against the batch size, on one pool of samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.eigenvalues.batch_size_result import CurvatureByBatchSize, SizeCurvature
from normfield.measure.eigenvalues.result import Curvature
from normfield.measure.eigenvalues.spectrum import curvature
from normfield.measure.matrix.prepared import check_count
from normfield.measure.subject.batches import Batch, read_batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.untouched import untouched
from normfield.samples import Samples, mapped

Measure = Callable[[list[Batch]], Curvature]


def _joined(parts: Sequence[Samples]) -> Samples:
    """Samples of one structure, one after another."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in first}
    return tuple(_joined([part[index] for part in parts]) for index in range(len(first)))


def _pool(data: Any) -> Batch:
    """Everything that was given, as one batch."""
    items = read_batches(data).items
    if len(items) == 1:
        return items[0]
    try:
        return Batch(_joined([item.inputs for item in items]), _joined([item.targets for item in items]))
    except (RuntimeError, KeyError, IndexError, TypeError) as error:
        raise InvalidInput(
            expected="batches of one structure and shape, to draw samples from all of them",
            got=f"{type(error).__name__}: {error}",
            instead="pad them alike",
        ) from error


def _drawn(pool: Batch, chosen: Tensor) -> Batch:
    """Some of a pool's samples."""

    def taken(x: Tensor) -> Tensor:
        return x[chosen.to(x.device)]

    return Batch(mapped(pool.inputs, taken), mapped(pool.targets, taken))


def _orders(samples: int, count: int, seed: int) -> list[Tensor]:
    """Independent permutations of the pool."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(samples, generator=generator) for _ in range(count)]


def _checked_sizes(sizes: Any, samples: int) -> tuple[int, ...]:
    """Ascending and each once."""
    found: tuple[Any, ...] = (
        tuple(sizes) if isinstance(sizes, Iterable) and not isinstance(sizes, str) else (sizes,)
    )
    if not found or not all(isinstance(size, int) and not isinstance(size, bool) for size in found):
        raise InvalidInput(
            expected="sizes as whole numbers", got=repr(sizes), instead="give sizes=(16, 64, 256)"
        )
    if min(found) < 1 or max(found) > samples:
        raise InvalidInput(
            expected=f"sizes from 1 to the {samples} samples of the pool",
            got=f"{', '.join(map(str, found))}",
            instead="give more samples or smaller sizes",
        )
    return tuple(sorted(set(found)))


def _of_size(size: int, batches: list[Batch], measure: Measure) -> SizeCurvature:
    """Each batch's own λ_max, and that of their mean."""
    own = [measure([batch]) for batch in batches]
    mean = measure(batches) if len(batches) > 1 else own[0]
    values = np.array([found.largest_eigenvalue for found in own])
    products = sum(found.products for found in own) + (mean.products if len(batches) > 1 else 0)
    return SizeCurvature(size, values, mean.largest_eigenvalue, products)


def curvature_by_batch_size(
    model: nn.Module,
    data: Any,
    sizes: Sequence[int] = (16, 32, 64, 128, 256),
    loss: Any = "squared",
    kind: str = "fisher",
    statistics: str = "batch",
    batches_each: int = 5,
    tolerance: float = 1e-3,
    seed: int = 0,
    *,
    progress: Callable[[str], object] | None = None,
) -> CurvatureByBatchSize:
    """Measure λ_max against the batch size B, on batches drawn from one pool of samples.

    With G_b the matrix of a batch b of B samples, and batches drawn uniformly without replacement:

    - `largest_eigenvalue` is the mean over batches of λ_max(G_b), with its standard error: what one step sees;
    - `mean_matrix_eigenvalue` is λ_max of (1/n) Σ_b G_b: what the mean of n steps sees, never larger. The limit on
      the learning rate, η* = 2(1 + μ)/λ_max [Wei, Eq. 7], follows from this one.

    Without batch norm the mean matrix tends to the same one for every B, and only λ_max of single batches falls with
    B; with batch norm in training mode the matrices themselves depend on B. The r-th batch of every size begins one
    permutation of the pool, so that larger batches hold the smaller ones and differences between sizes are less noisy
    than the sizes themselves. Batches overlap where B·n exceeds the pool, and the standard error, which takes them
    for independent, is then too small for samples outside the pool: `pool_samples` says how large it was.

    Parameters
    ----------
    model, loss, kind, statistics, tolerance
        As for `curvature`.
    data : pair, iterable of pairs, or DataLoader
        The pool: all samples of all batches; a last short batch is left out. Inputs may be nested.
    sizes : sequence of int
    batches_each : int
        n, for every size.
    seed : int
        Of the draws, of random starts and of a shuffling loader.
    progress : callable, optional
        Is given one line for each size when it is done.

    Returns
    -------
    CurvatureByBatchSize

    Raises
    ------
    InvalidInput
        As for `curvature`; a size above the pool.
    NumericalFailure
        An eigenvalue did not converge.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> pool = (torch.ones(8, 1), torch.zeros(8, 1))
    >>> curvature_by_batch_size(layer, pool, sizes=(2, 4)).largest_eigenvalue.tolist()
    [1.0, 1.0]
    """
    started = time.perf_counter()
    check_count("batches_each", batches_each)
    function = ModelFunction.of(model, seed)
    with untouched(function.model, seed, function.device):  # a shuffling loader is read from the seed
        pool = _pool(data)
    wanted = _checked_sizes(sizes, pool.samples)
    orders = _orders(pool.samples, batches_each, seed)

    def measure(batches: list[Batch]) -> Curvature:
        pairs = [(batch.inputs, batch.targets) for batch in batches]
        return curvature(model, pairs, loss, kind, statistics, tolerance=tolerance, seed=seed)

    found = []
    for size in wanted:
        found.append(_of_size(size, [_drawn(pool, order[:size]) for order in orders], measure))
        if progress is not None:
            progress(str(found[-1]))
    return CurvatureByBatchSize(
        rows=tuple(found),
        pool_samples=pool.samples,
        kind=kind,
        loss=loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__),
        statistics=statistics,
        seconds=time.perf_counter() - started,
    )
