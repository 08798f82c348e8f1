"""The trace of a module's curvature, in the mode in which it trains."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure.matrix.blocks import Blocks, read_blocks
from normfield.measure.matrix.prepared import Prepared, check_choice, check_count, deadline, prepared
from normfield.measure.whole_spectrum.probes import OutputProbes, Probes, probes_of
from normfield.measure.whole_spectrum.trace_result import Trace
from normfield.measure.whole_spectrum.tracing import Sampled, TraceGoal, sample_trace

METHODS = ("auto", "probes", "exact")


def check_standard_error(tolerance: float) -> None:
    """Refuse what is no relative standard error."""
    is_number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if not is_number or not 0 < tolerance < math.inf:
        raise InvalidInput(expected="a tolerance above 0, such as 0.01", got=repr(tolerance))


def _method(found: Sampled) -> str:
    if len(found.samples) == 0:
        return "exact"
    return "deflated probes" if found.is_deflated else "probes"


def _error(samples: np.ndarray) -> np.ndarray:
    """Standard errors of the means of samples (n, …), 0 without samples."""
    count = len(samples)
    if count == 0:
        return np.zeros(samples.shape[1:])
    if count == 1:
        return np.full(samples.shape[1:], math.nan)
    return samples.std(0, ddof=1) / math.sqrt(count)


def trace_of(measured: Prepared, blocks: Blocks, goal: TraceGoal, method: str) -> Trace:
    """The trace of what was prepared, which must be in place; `seconds` counts from here."""
    started = time.perf_counter()
    probes = probes_of(measured, torch.Generator().manual_seed(measured.seed))
    found = sample_trace(probes, goal, method)
    return _result(measured, blocks, found, probes, time.perf_counter() - started)


def _result(measured: Prepared, blocks: Blocks, found: Sampled, probes: Probes, seconds: float) -> Trace:
    sizes = np.array([p.numel() for p in measured.function.parameters])
    value, read = float(found.value.sum()), measured.batches
    by_gradients = isinstance(probes, OutputProbes)
    return Trace(
        value=value,
        standard_error=float(_error(found.samples.sum(1))),
        mean_eigenvalue=value / measured.function.size,
        blocks=blocks.names,
        block_values=blocks.sums(found.value),
        block_standard_errors=_error(blocks.sums(found.samples)),
        block_parameters=tuple(int(size) for size in blocks.sums(sizes)),
        parameters=measured.function.size,
        probes=len(found.samples),
        gradients=probes.spent if by_gradients else 0,
        products=0 if by_gradients else probes.spent,
        method=_method(found),
        status=found.status,
        kind=measured.kind,
        loss=measured.loss.name,
        statistics=measured.statistics,
        samples=read.samples,
        batches=len(read.items),
        dropped_samples=read.dropped_samples,
        seconds=seconds,
        ghost_batch_size=read.ghost_batch_size,
        assumes=measured.assumes,
    )


def curvature_trace(
    model: nn.Module,
    batches: Any,
    loss: Any = "squared",
    kind: str = "fisher",
    statistics: str = "batch",
    tolerance: float = 0.01,
    seed: int = 0,
    *,
    ghost_batch_size: int | None = None,
    blocks: Any = None,
    method: str = "auto",
    max_probes: int = 2000,
    budget: float | None = None,
    on_failure: str = "raise",
) -> Trace:
    """Measure the trace of the curvature of any module, and each layer's share, batch norm in training mode included.

    For Fisher and Gauss-Newton matrices G = AᵀA, with A = RᵀJ and RRᵀ = H, one backward pass gives an unbiased sample
    tr G = E‖Aᵀε‖², ε = ±1 at random in every output. The Hessian, and losses of your own, take one product each:
    tr G = E[ε·Gε], ε = ±1 in every parameter. Eight samples tell how many are needed. Where they are many, the part
    within a few directions in which the largest eigenvalues lie is computed exactly and only the rest is sampled
    [Meyer, Musco, Musco and Woodruff, *Hutch++*, 2021]; where they are more than there are rows, all is exact.

    Parameters
    ----------
    model, batches, loss, kind, statistics
        As for `curvature`.
    tolerance : float
        Standard error of the trace, relative to it.
    seed : int
        Of the probes, and of a shuffling loader.
    ghost_batch_size : int, optional
        As for `curvature`.
    blocks : None, "parameter", or mapping of str to list of str
        Which blocks to tell apart: by module, by parameter, or groups of parameter names.
    method : {"auto", "probes", "exact"}
        "exact" takes one backward pass for each output of each sample, or one product for each parameter.
    max_probes : int
        The most samples.
    budget : float, optional
        Seconds after which no further samples are drawn; the first eight always are.
    on_failure : {"raise", "return"}
        What becomes of a trace whose standard error is larger than asked: its `status` says so either way.

    Returns
    -------
    Trace

    Raises
    ------
    InvalidInput
        Input that cannot be measured.
    NumericalFailure
        A budget ended before the standard error was small enough, or numbers are not finite; `result` holds what was
        found. The Hessian's trace may be close to 0, which no relative tolerance reaches.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> round(curvature_trace(layer, (torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))).value, 4)
    5.0
    """
    started = time.perf_counter()
    check_choice("method", method, METHODS)
    check_choice("on_failure", on_failure, ("raise", "return"))
    check_count("max_probes", max_probes)
    check_standard_error(tolerance)
    goal = TraceGoal(tolerance, max_probes, deadline(budget))
    with prepared(model, batches, loss, kind, statistics, seed, ghost_batch_size) as measured:
        found = trace_of(measured, read_blocks(blocks, measured.function.names), goal, method)
    result = replace(found, seconds=time.perf_counter() - started)
    if not result.is_converged and on_failure == "raise":
        raise NumericalFailure(
            f'{result.status}; raise max_probes or the budget, or use on_failure="return"', result
        )
    return result
