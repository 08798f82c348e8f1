"""From a model, batches and a question to eigenpairs: which matrix, and by which method."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from normfield.errors import InvalidInput
from normfield.measure.eigenvalues.dense import DenseCost, dual_eigenpairs, primal_eigenpairs
from normfield.measure.eigenvalues.lanczos import Eigenpairs, Goal, largest_eigenpairs
from normfield.measure.eigenvalues.starts import random_output_row, random_row, start_block, wanted
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
    generator = torch.Generator().manual_seed(measured.seed)
    pairs = largest_eigenpairs(
        operator.product,
        function.size,
        partial(start_block, operator, measured.loss, measured.output_shape, goal.wanted, generator),
        goal,
        (
            partial(random_output_row, operator, generator),
            partial(random_row, measured.like, function.size, generator),
        ),
    )
    return Solution(pairs, "lanczos", need.cluster)
