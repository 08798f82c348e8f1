"""From a model, batches and a question to eigenpairs: which matrix, and by which method."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from normfield.errors import InvalidInput
from normfield.measure.batches import Batch, Batches
from normfield.measure.dense import DenseCost, dual_eigenpairs, primal_eigenpairs
from normfield.measure.function import ModelFunction
from normfield.measure.lanczos import Eigenpairs, Goal, largest_eigenpairs
from normfield.measure.losses import GeneralLoss, Loss
from normfield.measure.operators import GaussNewton, Hessian, Linearisation, MeanOperator
from normfield.measure.starts import random_output_row, random_row, start_block, wanted
from normfield.measure.tangents import WAYS, CannotDifferentiate, Tangents

ROUNDING = 4
"""Round-off of an eigenvalue, in machine epsilons of the parameters."""

_DENSE_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Question:
    """What is asked: see `curvature` for each."""

    loss: Loss
    kind: str
    top: int
    tolerance: float
    method: str
    max_products: int | None
    deadline: float
    seed: int


@dataclass(frozen=True)
class Solution:
    """Eigenpairs, the method that found them, and how many of them form the cluster."""

    pairs: Eigenpairs
    method: str
    cluster: int


def _dense_cost(function: ModelFunction, question: Question, outputs: int) -> DenseCost:
    """What a dense method would take; the dual matrix needs a root of the output Hessian."""
    has_root = question.kind != "hessian" and not isinstance(question.loss, GeneralLoss)
    row_bytes = function.size * function.dtype.itemsize
    return DenseCost(outputs if has_root else function.size, function.size, row_bytes)


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


def solve(
    function: ModelFunction, batches: Batches, output_shape: tuple[int, ...], question: Question
) -> Solution:
    """Find the wanted eigenpairs, by the first way to J·v that the model's operations have.

    Raises
    ------
    InvalidInput
        An operation can be differentiated neither forwards nor twice.
    """
    like, loss = function.parameters[0], question.loss
    if question.kind == "hessian":
        return _solved(
            function, batches, output_shape, question, lambda batch: Hessian(function, batch.like(like), loss)
        )
    objection = ""
    for way in WAYS:
        linearise = partial(_gauss_newton, function, loss, way)
        try:
            return _solved(function, batches, output_shape, question, linearise)
        except CannotDifferentiate as refusal:
            objection = str(refusal)
    raise InvalidInput(
        expected="a model whose operations can be differentiated forwards or twice",
        got=objection,
        instead="replace that operation",
    )


def _gauss_newton(function: ModelFunction, loss: Loss, way: type[Tangents], batch: Batch) -> Linearisation:
    return GaussNewton(function, batch.like(function.parameters[0]), loss, way)


def _solved(
    function: ModelFunction,
    batches: Batches,
    output_shape: tuple[int, ...],
    question: Question,
    linearise: Callable[[Batch], Linearisation],
) -> Solution:
    """Dense where the matrix is small, else by block Lanczos."""
    need = wanted(question.loss, output_shape, question.top, function.size)
    budget = question.max_products or 200 + 50 * need.eigenvalues
    cost = _dense_cost(function, question, batches.samples * math.prod(output_shape))
    takes_dense = _takes_dense(cost, question, budget)
    operator = MeanOperator(function.size, batches, linearise)
    if takes_dense and cost.takes_dual:
        return Solution(dual_eigenpairs(operator, need.eigenvalues), "dense", need.cluster)
    like = torch.empty(0, dtype=function.dtype, device=function.device)
    if takes_dense:
        return Solution(primal_eigenpairs(operator, need.eigenvalues, like), "dense", need.cluster)
    rounding = ROUNDING * torch.finfo(function.dtype).eps
    goal = Goal(need.eigenvalues, question.tolerance, budget, rounding, question.deadline)
    generator = torch.Generator().manual_seed(question.seed)
    pairs = largest_eigenpairs(
        operator.product,
        function.size,
        partial(start_block, operator, question.loss, output_shape, goal.wanted, generator),
        goal,
        (
            partial(random_output_row, operator, generator),
            partial(random_row, like, function.size, generator),
        ),
    )
    return Solution(pairs, "lanczos", need.cluster)
