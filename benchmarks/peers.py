"""The peers' ways to the top curvature eigenvalue, as their users would call them, with their products counted."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from yardstick import Problem

try:
    import curvlinops
    import pyhessian
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"{missing}: run benchmarks/peers.sh, then use benchmarks/.venv-peers/bin/python"
    ) from missing

# PyHessian keeps .grad's graph alive, of which torch warns; curvlinops' dependencies use torch.jit.script.
warnings.filterwarnings("ignore", message="Using backward\\(\\) with create_graph=True")
warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")

Operator = Callable[..., Any]
GaussNewton: Operator = curvlinops.GGNLinearOperator
Hessian: Operator = curvlinops.HessianLinearOperator


@dataclass(frozen=True)
class Answer:
    """An eigenvalue and the matrix-vector products spent on it."""

    eigenvalue: float
    products: int


class _Counted(LinearOperator):
    """A matrix that counts its products."""

    def __init__(self, matrix: LinearOperator) -> None:
        super().__init__(matrix.dtype, matrix.shape)
        self.products = 0
        self._matrix = matrix

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        self.products += 1
        return self._matrix.matvec(x)


def curvlinops_top(operator: Operator, given: Problem, tolerance: float, seed: int) -> Answer:
    """``eigsh`` on a curvlinops operator, without its check that two products agree, which would cost it time."""
    batches = [(given.inputs, given.labels)]
    made = operator(given.model, given.loss, given.parameters, batches, check_deterministic=False)
    matrix = _Counted(made.to_scipy())
    start = np.random.default_rng(seed).standard_normal(matrix.shape[0]).astype(matrix.dtype)
    values = eigsh(matrix, k=1, which="LA", tol=tolerance, v0=start, return_eigenvectors=False)  # type: ignore[arg-type]
    return Answer(float(values[0]), matrix.products)


def reference(operator: Operator, given: Problem) -> float:
    """Largest eigenvalue in float64 to 1e-10."""
    return curvlinops_top(operator, given, 1e-10, seed=0).eigenvalue


def pyhessian_call(given: Problem, tolerance: float, seed: int) -> Callable[[], Answer]:
    """PyHessian's power iteration, on a copy, since it leaves the model in ``eval()``."""
    model, module = copy.deepcopy(given.model), import_module("pyhessian.hessian")
    multiply, spent = module.hessian_vector_product, 0

    def counted(*factors: Any) -> Any:
        nonlocal spent
        spent += 1
        return multiply(*factors)

    def top() -> Answer:
        with torch.random.fork_rng(devices=[]), patch.object(module, multiply.__name__, counted):
            torch.manual_seed(seed)
            curvature = pyhessian.hessian(model, given.loss, data=(given.inputs, given.labels), cuda=False)
            return Answer(curvature.eigenvalues(tol=tolerance)[0][0], spent)

    return top
