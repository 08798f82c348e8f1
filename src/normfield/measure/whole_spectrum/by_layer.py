"""The curvature of each layer of a module by itself, in the mode in which it trains."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from normfield.errors import NumericalFailure
from normfield.measure.eigenvalues.lanczos import CONVERGED
from normfield.measure.eigenvalues.solve import Question, Solution, solve
from normfield.measure.eigenvalues.spectrum import check_tolerance
from normfield.measure.matrix.blocks import Blocks, read_blocks
from normfield.measure.matrix.prepared import Prepared, check_choice, deadline, prepared
from normfield.measure.whole_spectrum.by_layer_result import BlockCurvature, LayerCurvature
from normfield.measure.whole_spectrum.trace_result import Trace
from normfield.measure.whole_spectrum.traces import check_standard_error, trace_of
from normfield.measure.whole_spectrum.tracing import TraceGoal

_MAX_PROBES = 2000


def _restricted(measured: Prepared, places: tuple[int, ...]) -> Prepared:
    """The same with only some of the parameters trainable, the others constant, so that backward passes end early."""
    whole = measured.function
    kept = {whole.names[i] for i in places}
    pairs = list(zip(whole.names, whole.parameters, strict=True))
    constant = {name: p.detach() for name, p in pairs if name not in kept}
    function = replace(
        whole,
        names=tuple(name for name, _ in pairs if name in kept),
        parameters=tuple(p for name, p in pairs if name in kept),
        frozen={**whole.frozen, **constant},
    )
    return replace(measured, function=function)


def _solutions(measured: Prepared, blocks: Blocks, question: Question) -> Iterator[Solution]:
    for places in blocks.members:
        yield solve(_restricted(measured, places), question)


def _block(solution: Solution, trace: Trace, place: int) -> BlockCurvature:
    pairs = solution.pairs
    return BlockCurvature(
        name=trace.blocks[place],
        parameters=trace.block_parameters[place],
        largest_eigenvalue=float(pairs.values[0]) if len(pairs.values) else math.nan,
        error=pairs.error,
        trace=float(trace.block_values[place]),
        trace_standard_error=float(trace.block_standard_errors[place]),
        share=float(trace.shares[place]),
        products=pairs.products,
        status=pairs.status,
    )


def _status(blocks: tuple[BlockCurvature, ...], trace: Trace) -> str:
    """Converged, or the first things that are missing."""
    short = [] if trace.is_converged else [f"trace: {trace.status}"]
    short += [f"{block.name}: {block.status}" for block in blocks if block.status != CONVERGED]
    more = f"; and {len(short) - 3} more" if len(short) > 3 else ""
    return "; ".join(short[:3]) + more if short else CONVERGED


def layer_curvature(
    model: nn.Module,
    batches: Any,
    loss: Any = "squared",
    kind: str = "fisher",
    statistics: str = "batch",
    seed: int = 0,
    *,
    ghost_batch_size: int | None = None,
    blocks: Any = None,
    tolerance: float = 1e-3,
    trace_tolerance: float = 0.01,
    budget: float | None = None,
    on_failure: str = "raise",
) -> LayerCurvature:
    """Measure the curvature of every layer of any module by itself: the diagonal blocks of its matrix.

    The block of parameters θ_l is G_ll = J_lᵀHJ_l, J_l = ∂f/∂θ_l, or ∂²ℓ/∂θ_l∂θ_l for the Hessian. Its largest
    eigenvalue limits the learning rate of that layer alone to 2(1 + μ)/λ_max, and never exceeds the whole matrix's;
    the traces of all blocks add up to the whole one. Eigenvalues are found as `curvature` finds them, with all other
    parameters constant, so that backward passes end at the layer; the traces come from one run of `curvature_trace`.

    Parameters
    ----------
    model, batches, loss, kind, statistics
        As for `curvature`.
    seed : int
        Of random starts and probes, and of a shuffling loader.
    ghost_batch_size : int, optional
        As for `curvature`.
    blocks : None, "parameter", or mapping of str to list of str
        By module, by parameter, or groups of parameter names, which may overlap.
    tolerance : float
        Relative error of each largest eigenvalue.
    trace_tolerance : float
        Standard error of the whole trace, relative to it.
    budget : float, optional
        Seconds after which no further product is begun; the first of every block always is.
    on_failure : {"raise", "return"}
        What becomes of a result of which something has not converged: its `status` says so either way.

    Returns
    -------
    LayerCurvature

    Raises
    ------
    InvalidInput
        Input that cannot be measured, or blocks that name no trainable parameter.
    NumericalFailure
        A budget ended before convergence, or products are not finite; `result` holds what was found.

    Examples
    --------
    >>> import torch
    >>> layers = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False))
    >>> for layer, weight in zip(layers, (1.0, 2.0)):
    ...     _ = torch.nn.init.constant_(layer.weight, weight)
    >>> found = layer_curvature(layers, (torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)))
    >>> {block.name: round(block.largest_eigenvalue, 4) for block in found.blocks}
    {'0': 20.0, '1': 5.0}
    """
    started = time.perf_counter()
    check_choice("on_failure", on_failure, ("raise", "return"))
    check_standard_error(trace_tolerance)
    until = deadline(budget)
    question = Question(1, tolerance, "auto", None, until)
    with prepared(model, batches, loss, kind, statistics, seed, ghost_batch_size) as measured:
        check_tolerance(tolerance, measured.function.dtype)
        groups = read_blocks(blocks, measured.function.names)
        trace = trace_of(measured, groups, TraceGoal(trace_tolerance, _MAX_PROBES, until), "auto")
        solutions = list(_solutions(measured, groups, question))
    found = tuple(_block(solution, trace, place) for place, solution in enumerate(solutions))
    result = LayerCurvature(
        blocks=found,
        trace=trace.value,
        trace_standard_error=trace.standard_error,
        status=_status(found, trace),
        kind=trace.kind,
        loss=trace.loss,
        statistics=trace.statistics,
        samples=trace.samples,
        batches=trace.batches,
        dropped_samples=trace.dropped_samples,
        seconds=time.perf_counter() - started,
        ghost_batch_size=trace.ghost_batch_size,
        assumes=trace.assumes,
    )
    if not result.is_converged and on_failure == "raise":
        raise NumericalFailure(f'{result.status}; raise the budget, or use on_failure="return"', result)
    return result
