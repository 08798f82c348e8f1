"""Normfield and its peers asked for one number: the largest eigenvalue of a module's Hessian or Gauss-Newton matrix.

Each is called as its users call it on one batch, with more than enough iterations, for the largest algebraic one where
that can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import curvlinops
import hessian_eigenthings as eigenthings
import pyhessian
from modules import Subject
from scipy.sparse.linalg import eigsh

import normfield as nf

STEPS = 120


def _normfield(kind: str) -> Callable[[Subject], float]:
    def top(given: Subject) -> float:
        batch = (given.inputs, given.targets)
        return nf.curvature(given.model, [batch], given.loss, kind, tolerance=1e-6).largest_eigenvalue

    return top


def _curvlinops(operator: Callable[..., Any]) -> Callable[[Subject], float]:
    def top(given: Subject) -> float:
        parameters = [p for p in given.model.parameters() if p.requires_grad]
        options = (
            {"batch_size_fn": lambda x: len(next(iter(x.values())))} if isinstance(given.inputs, dict) else {}
        )
        batches = [(given.inputs, given.targets)]
        made = operator(given.model, given.loss, parameters, batches, **options)
        return float(eigsh(made.to_scipy(), k=1, which="LA", tol=1e-6, return_eigenvectors=False)[0])

    return top


def _lanczos(operator: Any) -> float:
    steps = min(STEPS, operator.size)
    found = eigenthings.lanczos(operator, k=1, max_iter=steps, reorthogonalize=True, which="LA", seed=0)
    return float(found.eigenvalues[0])


def _eigenthings_hessian(given: Subject) -> float:
    data = [(given.inputs, given.targets)]
    return _lanczos(eigenthings.HessianOperator(given.model, data, eigenthings.supervised_loss(given.loss)))


def _eigenthings_ggn(given: Subject) -> float:
    from_outputs = eigenthings.supervised_loss_of_output(given.loss)
    data = [(given.inputs, given.targets)]
    return _lanczos(eigenthings.GGNOperator(given.model, data, eigenthings.supervised_forward, from_outputs))


def _pyhessian(given: Subject) -> float:
    found = pyhessian.hessian(given.model, given.loss, data=(given.inputs, given.targets), cuda=False)
    return float(found.eigenvalues(maxIter=2000, tol=1e-7)[0][0])


Tool = Callable[[Subject], float]
TOOLS: dict[tuple[str, str], Tool] = {
    ("normfield", "Hessian"): _normfield("hessian"),
    ("normfield", "GGN"): _normfield("ggn"),
    ("curvlinops", "Hessian"): _curvlinops(curvlinops.HessianLinearOperator),
    ("curvlinops", "GGN"): _curvlinops(curvlinops.GGNLinearOperator),
    ("hessian-eigenthings", "Hessian"): _eigenthings_hessian,
    ("hessian-eigenthings", "GGN"): _eigenthings_ggn,
    ("PyHessian", "Hessian"): _pyhessian,
}
"""PyHessian has no Gauss-Newton matrix."""
