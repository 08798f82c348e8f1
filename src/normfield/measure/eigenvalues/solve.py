"""From a model, batches and a question to eigenpairs: which matrix, and by which method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.eigenvalues.dense import DenseCost, completed, dual_eigenpairs, primal_eigenpairs
from normfield.measure.eigenvalues.lanczos import Eigenpairs, Goal, largest_eigenpairs
from normfield.measure.eigenvalues.starts import (
    dual_start_block,
    random_output_row,
    random_pushed_row,
    random_row,
    start_block,
    wanted,
)
from normfield.measure.matrix.dual import DualOperator
from normfield.measure.matrix.operators import MeanOperator
from normfield.measure.matrix.prepared import Prepared

ROUNDING = 4
"""Round-off of an eigenvalue, in machine epsilons of the parameters."""

_DENSE_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Question:
    """What is asked: see `curvature` for each."""

    top: int
    tolerance: float
    method: str
    max_products: int | None
    deadline: float


@dataclass(frozen=True)
class Solution:
    """Eigenpairs, the method that found them, and how many of them form the cluster."""

    pairs: Eigenpairs
    method: str
    cluster: int


def _dense_cost(measured: Prepared) -> DenseCost:
    """What a dense method would take; the dual matrix needs a root of the output Hessian."""
    size, row_bytes = measured.function.size, measured.function.size * measured.function.dtype.itemsize
    return DenseCost(measured.outputs if measured.has_root else size, size, row_bytes)


def _takes_dense(cost: DenseCost, question: Question, max_products: int) -> bool:
    if question.method == "auto":
        return cost.is_small and cost.side <= max_products
    if question.method == "dense" and cost.side * cost.row_bytes > _DENSE_BYTES:
        raise InvalidInput(
            expected=f'a matrix of at most {_DENSE_BYTES / 2**30:.0f} GiB for method="dense"',
            got=f"{cost.side} rows of {cost.row_bytes / 2**20:.1f} MiB",
            instead='use method="lanczos" or fewer samples',
        )
    return question.method == "dense"


def solve(measured: Prepared, question: Question) -> Solution:
    """Dense where the matrix is small, else by block Lanczos."""
    function = measured.function
    need = wanted(measured.loss, measured.output_shape, question.top, function.size)
    budget = question.max_products or 200 + 50 * need.eigenvalues
    cost = _dense_cost(measured)
    takes_dense = _takes_dense(cost, question, budget)
    operator = measured.operator()
    if takes_dense and cost.takes_dual:
        return Solution(dual_eigenpairs(operator, need.eigenvalues), "dense", need.cluster)
    if takes_dense:
        return Solution(primal_eigenpairs(operator, need.eigenvalues, measured.like), "dense", need.cluster)
    rounding = ROUNDING * torch.finfo(function.dtype).eps
    goal = Goal(need.eigenvalues, question.tolerance, budget, rounding, question.deadline)
    iterate = _by_dual_lanczos if _has_short_dual(measured, goal) else _by_lanczos
    return Solution(iterate(measured, operator, goal), "lanczos", need.cluster)


def _has_short_dual(measured: Prepared, goal: Goal) -> bool:
    """Whether vectors of outputs are shorter than those of parameters; several batches would be linearised twice."""
    fits = goal.wanted <= measured.outputs < measured.function.size
    return measured.has_root and fits and len(measured.batches.items) == 1


def _by_dual_lanczos(measured: Prepared, operator: MeanOperator, goal: Goal) -> Eigenpairs:
    """In the space of the outputs, where orthogonalising costs little; the vectors pulled back at the end."""
    dual = DualOperator(operator, measured.outputs)
    generator = torch.Generator().manual_seed(measured.seed)
    pairs = largest_eigenpairs(
        dual.product,
        dual.size,
        partial(
            dual_start_block, operator, dual, measured.loss, measured.output_shape, goal.wanted, generator
        ),
        goal,
        (
            partial(random_pushed_row, dual, measured.like, measured.function.size, generator),
            partial(random_row, measured.like, dual.size, generator),
        ),
    )
    none = measured.like.new_zeros(0, measured.function.size)
    return replace(pairs, values=np.maximum(pairs.values, 0.0), vectors=_pulled_back(pairs, dual, none))


def _pulled_back(pairs: Eigenpairs, dual: DualOperator, none: Tensor) -> Tensor:
    """Eigenvectors Aᵀu/‖Aᵀu‖ of G (k, P), added to none (0, P); those of eigenvalue 0 are any that are left."""
    if len(pairs.values) == 0:
        return pairs.vectors
    above = pairs.values > dual.size * torch.finfo(pairs.vectors.dtype).eps * pairs.values[0]
    rows = torch.cat([none, *(dual.pull_back(u)[None] for u in pairs.vectors[torch.from_numpy(above)])])
    return completed(rows / rows.norm(dim=1, keepdim=True), len(above))


def _by_lanczos(measured: Prepared, operator: MeanOperator, goal: Goal) -> Eigenpairs:
    """In the space of the parameters."""
    function, generator = measured.function, torch.Generator().manual_seed(measured.seed)
    return largest_eigenpairs(
        operator.product,
        function.size,
        partial(start_block, operator, measured.loss, measured.output_shape, goal.wanted, generator),
        goal,
        (
            partial(random_output_row, operator, generator),
            partial(random_row, measured.like, function.size, generator),
        ),
    )
