"""The curvature that an optimizer sees, and the learning rate at which its steps stop being stable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from normfield.errors import NumericalFailure
from normfield.measure.eigenvalues.lanczos import CONVERGED, Eigenpairs, Goal, largest_eigenpairs
from normfield.measure.eigenvalues.solve import ROUNDING
from normfield.measure.eigenvalues.spectrum import check_tolerance
from normfield.measure.eigenvalues.starts import random_output_row, random_row, start_block
from normfield.measure.matrix.operators import MeanOperator
from normfield.measure.matrix.prepared import Prepared, check_choice, check_count, prepared
from normfield.measure.optimizers.edge import ASSUMES, PreconditionedCurvature
from normfield.measure.optimizers.stability import (
    Weighting,
    preconditioned,
    reference_rate,
    stability_matrix,
    uniform,
)
from normfield.measure.optimizers.update_rules import Step, family_of, steps
from normfield.measure.subject.function import ModelFunction

MOST_PRODUCTS = 300
"""Products for each of at most two matrices, unless told."""


@dataclass(frozen=True)
class _Search:
    """How exactly, and at what cost at most."""

    tolerance: float
    max_products: int


def _steps(optimizer: Optimizer, function: ModelFunction, gradient: Tensor) -> list[Step]:
    """Each parameter's step in the model's order, its gradient that of the batches."""
    own = dict(function.model.named_parameters())
    pieces = function.split(gradient)
    return steps(optimizer, {own[name]: piece for name, piece in zip(function.names, pieces, strict=True)})


def _largest(measured: Prepared, operator: MeanOperator, weighting: Weighting, search: _Search) -> Eigenpairs:
    """The largest eigenvalue of a weighted matrix, started from the matrix's own start, weighted."""
    generator, size = torch.Generator().manual_seed(measured.seed), measured.function.size

    def weighted(rows: Callable[[], Tensor]) -> Tensor:
        return rows() * weighting.weights

    start = partial(start_block, operator, measured.loss, measured.output_shape, 1, generator)
    rounding = ROUNDING * torch.finfo(measured.function.dtype).eps
    return largest_eigenpairs(
        weighting.of(operator.product),
        size,
        partial(weighted, start),
        Goal(1, search.tolerance, search.max_products, rounding),
        (
            partial(weighted, partial(random_output_row, operator, generator)),
            partial(random_row, measured.like, size, generator),
        ),
    )


def _both(
    measured: Prepared, operator: MeanOperator, rules: Sequence[Step], search: _Search
) -> tuple[Eigenpairs, Eigenpairs | None]:
    """The preconditioned matrix's eigenvalue, and A's where it does not follow from that."""
    parameters = measured.function.parameters
    seen = _largest(measured, operator, preconditioned(rules, parameters, measured.like), search)
    if seen.status != CONVERGED or uniform(rules) is not None:
        return seen, None
    return seen, _largest(measured, operator, stability_matrix(rules, parameters, measured.like), search)


def _stability_eigenvalue(seen: float, rules: Sequence[Step], other: Eigenpairs | None) -> float:
    """λ_max(A): c·λ + ω where gain, rate and decay are one for all, else as found."""
    same = uniform(rules)
    if same is not None:
        return same.gain * seen + same.decay
    return float(other.values[0]) if other is not None and len(other.values) else float("nan")


def preconditioned_curvature(
    model: nn.Module,
    batches: Any,
    loss: Any,
    optimizer: Optimizer,
    kind: str = "hessian",
    statistics: str = "batch",
    tolerance: float = 1e-3,
    seed: int = 0,
    *,
    max_products: int | None = None,
    on_failure: str = "raise",
) -> PreconditionedCurvature:
    """Measure the curvature as an optimizer sees it, and the learning rate at which its steps stop being stable.

    With P the optimizer's preconditioner (of Adam (1 − β₁ᵗ)(√v̂ + ε), bias corrections included), G the curvature
    and a the L2 penalty (torch's ``weight_decay`` where it is not decoupled),

        λ_max of P^-½(G + a)P^-½                                             [Cohen 2022, section 2].

    On a quadratic, with P held, the steps are stable for learning rates below

        η* = 2/(c·λ_max + ω),

    ω the decoupled weight decay and c how much of an alternating gradient the optimizer's memory lets through:

        SGD        1, with momentum μ and dampening d (1 − d)/(1 + μ), Nesterov's (1 + 2μ)/(1 + μ)
        Adam(W)    (1 − β₁)/(1 + β₁), so that without decay η* = 2(1 + β₁)/((1 − β₁)λ_max), 38/λ_max for 0.9
        NAdam      the last step's own: (1 − μ_t)/(1 − Πμ) + (1 − β₁)/(1 + β₁)·μ_{t+1}/(1 − Πμ·μ_{t+1})
        RMSprop    1, with momentum 1/(1 + μ); Adagrad 1

    Groups with rates, memories or decays of their own: η* = 2/λ_max(A) is the limit of the largest of the rates
    when all are multiplied together, with A = D^½(G + a)D^½ + rω, D = rc/P, r the rates relative to the largest.

    P is read from the optimizer's state, as of its last step. A parameter that has not taken a step yet gets the
    first step's: with g the gradient of these batches (penalty included), |g| + ε for Adam's v̂, √(1 − α)·|g| + ε
    for RMSprop, and so on. Model and optimizer are left as they were, also on errors.

    Parameters
    ----------
    model, batches, loss, statistics, tolerance, seed
        As for `curvature`.
    optimizer : torch.optim.SGD, Adam, AdamW, NAdam, RMSprop or Adagrad
        Over this model's parameters; those that it does not hold stay where they are.
    kind : {"hessian", "ggn", "fisher"}
    max_products : int, optional
        Budget for each matrix (two where groups differ), by default 300.
    on_failure : {"raise", "return"}

    Returns
    -------
    PreconditionedCurvature

    Raises
    ------
    InvalidInput
        As for `curvature`; another optimizer or one of another model, ``maximize``, a preconditioner that is zero.
    NumericalFailure
        The budget ended before convergence, or products are not finite; `result` holds what was found.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    >>> batch = (torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))
    >>> found = preconditioned_curvature(layer, batch, "squared", optimizer)
    >>> round(found.max_learning_rate, 4), round(found.sharpness_times_rate, 4)
    (0.76, 0.1316)
    """
    started = time.perf_counter()
    family_of(optimizer)
    check_count("max_products", max_products)
    check_choice("on_failure", on_failure, ("raise", "return"))
    with prepared(model, batches, loss, kind, statistics, seed) as measured:
        check_tolerance(tolerance, measured.function.dtype)
        operator = measured.operator()
        rules = _steps(optimizer, measured.function, operator.gradient())
        seen, other = _both(measured, operator, rules, _Search(tolerance, max_products or MOST_PRODUCTS))
    result = _result(measured, optimizer, rules, seen, other, time.perf_counter() - started)
    if not result.is_converged and on_failure == "raise":
        raise NumericalFailure(f'{result.status}; raise max_products, or use on_failure="return"', result)
    return result


def _result(
    measured: Prepared,
    optimizer: Optimizer,
    rules: Sequence[Step],
    seen: Eigenpairs,
    other: Eigenpairs | None,
    seconds: float,
) -> PreconditionedCurvature:
    last = other or seen
    largest = float(seen.values[0]) if len(seen.values) else float("nan")
    return PreconditionedCurvature(
        largest_eigenvalue=largest,
        stability_eigenvalue=_stability_eigenvalue(largest, rules, other),
        learning_rate=reference_rate(rules),
        optimizer=type(optimizer).__name__,
        preconditioner=_in_words(rules),
        kind=measured.kind,
        loss=measured.loss.name,
        statistics=measured.statistics,
        error=max(seen.error, last.error),
        residual=seen.residual,
        products=seen.products + (other.products if other else 0),
        status=last.status,
        samples=measured.batches.samples,
        batches=len(measured.batches.items),
        dropped_samples=measured.batches.dropped_samples,
        seconds=seconds,
        assumes=ASSUMES + measured.assumes,
    )


def _in_words(rules: Sequence[Step]) -> str:
    """Where the preconditioner came from."""
    taken = [step.taken for step in rules if step.rate > 0 or torch.isfinite(step.scale).any()]
    if max(taken) < 0:
        return "none: P = 1"
    if max(taken) == 0:
        return "the first step's, from the gradient of these batches"
    stepped = [count for count in taken if count > 0]
    least, most = min(stepped), max(stepped)
    state = f"the optimizer's state after {most if least == most else f'{least} to {most}'} steps"
    fresh = len(taken) - len(stepped)
    return f"{state}; of {fresh} parameters without steps the first step's" if fresh else state
