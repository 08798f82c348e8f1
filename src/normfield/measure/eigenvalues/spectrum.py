"""The largest eigenvalues of a module's curvature, in the mode in which it trains."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import nn

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure.eigenvalues.result import Curvature
from normfield.measure.eigenvalues.solve import ROUNDING, Question, Solution, solve
from normfield.measure.matrix.prepared import Prepared, check_choice, check_count, deadline, prepared

METHODS = ("auto", "lanczos", "dense")


def check_tolerance(tolerance: float, dtype: torch.dtype) -> None:
    """Refuse a tolerance that is no positive number or below what the dtype can hold."""
    least = 2 * ROUNDING * torch.finfo(dtype).eps
    if not isinstance(tolerance, int | float) or not 0 < tolerance < math.inf:
        raise InvalidInput(expected="a tolerance above 0, such as 1e-3", got=repr(tolerance))
    if tolerance < least:
        name = str(dtype).removeprefix("torch.")
        raise InvalidInput(
            expected=f"a tolerance of at least {least:.0e} for parameters in {name}",
            got=repr(tolerance),
            instead="convert the model with .double() (half precision: .float()), or ask for less",
        )


def _question(top: int, tolerance: float, method: str, most: int | None, deadline: float) -> Question:
    """The question, checked as far as no model is needed."""
    check_choice("method", method, METHODS)
    check_count("top", top)
    check_count("max_products", most)
    return Question(top, tolerance, method, most, deadline)


def _result(solution: Solution, measured: Prepared, seconds: float) -> Curvature:
    pairs, read = solution.pairs, measured.batches
    found = len(pairs.values) > 0
    cluster = pairs.values[: solution.cluster]
    return Curvature(
        largest_eigenvalue=float(pairs.values[0]) if found else math.nan,
        eigenvalues=pairs.values,
        cluster_mean=float(cluster.mean()) if found else math.nan,
        cluster_size=len(cluster),
        vectors=pairs.vectors.T,
        residual=pairs.residual,
        error=pairs.error,
        products=pairs.products,
        status=pairs.status,
        kind=measured.kind,
        loss=measured.loss.name,
        statistics=measured.statistics,
        samples=read.samples,
        batches=len(read.items),
        dropped_samples=read.dropped_samples,
        method=solution.method,
        seconds=seconds,
        largest_check=pairs.check,
        ghost_batch_size=read.ghost_batch_size,
        assumes=measured.assumes,
    )


def curvature(
    model: nn.Module,
    batches: Any,
    loss: Any = "squared",
    kind: str = "fisher",
    statistics: str = "batch",
    top: int = 1,
    tolerance: float = 1e-3,
    seed: int = 0,
    *,
    method: str = "auto",
    max_products: int | None = None,
    budget: float | None = None,
    on_failure: str = "raise",
    ghost_batch_size: int | None = None,
) -> Curvature:
    """Measure the largest curvature eigenvalues of any module, batch norm in training mode included.

    With f the outputs (C for each of m samples), J = ∂f/∂θ over the P trainable parameters, ℓ the loss of a batch
    and H = ∂²ℓ/∂f∂f:

    - "ggn": G = JᵀHJ; for the squared loss (1/m) Σ_x Σ_c ∇f_c ∇f_cᵀ, for the cross-entropy H is the softmax's;
    - "fisher": the Fisher matrix of the model behind the loss, equal to "ggn" for the losses that have one;
    - "hessian": ∇²ℓ, whose largest eigenvalue is meant, not the largest in modulus.

    The gradient's limit on the learning rate is 2(1 + μ)/λ_max [Wei, Eq. 7]. Several batches count as the
    sample-weighted mean of their matrices, each batch with its own statistics.

    Small matrices are built (samples × outputs or parameters up to 512, memory up to 256 MiB); otherwise block
    Lanczos with full reorthogonalisation runs until each wanted eigenvalue θ has an error estimate min(r, r²/δ) of
    at most tolerance·|θ| (r its residual norm, δ its distance to the largest Ritz value that is not wanted), started
    from Jᵀ·(C constant output directions) for squared losses, from Jᵀ·(top eigenvectors of the mean softmax
    covariance) for cross-entropy, from the gradient for others. A random start then checks that nothing larger was
    missed. A Gauss–Newton matrix of one batch with fewer outputs than parameters is iterated as the dual matrix, in
    the space of the outputs. Afterwards parameters, buffers, gradients, modes, hooks and random state are as before,
    also on errors.

    Parameters
    ----------
    model : nn.Module
        Returns one tensor (m, …), or for a callable loss any structure of them. Layers other than batch norms run in
        the mode they are in; dropout's masks and other draws from the global generators are the same in every product
        and batch. Half-precision parameters are measured in float32; wrappers of data parallelism and compilation
        are taken off.
    batches : pair, iterable of pairs, or DataLoader
        Pairs (inputs, targets), or mappings with targets or labels in them, read once and kept up to 2 GiB; a last
        batch shorter than the first is dropped. Inputs are tensors or arrays, or tuples, lists and dicts of such,
        nested at will: a tuple or list is the model's positional arguments, a dict its keywords. Floating-point
        values are converted to the model's dtype. A tuple of two pairs of one length could be one batch or two and
        is refused; a list of two pairs is two batches.
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss or callable
        "squared" is (1/m) Σ ½‖f − y‖², with integer labels read as one-hot; eigenvalues are in units of the loss as
        given, so `nn.MSELoss()` gives 2/C of them. A callable takes (outputs, targets), both as they came, to a
        scalar tensor.
    kind : {"fisher", "ggn", "hessian"}
    statistics : {"batch", "frozen", "running"}
        The batch's own, with gradient through them (as in training); the batch's own, as constants; the module's
        buffers (as in `eval()`).
    top : int
        How many eigenvalues; squared losses give at least C of them (at most 16 unasked), because C coincide at
        infinite width.
    tolerance : float
        Relative error of each.
    seed : int
        Of the random starts, of random draws inside the model, and of a shuffling loader without a generator of its
        own.
    method : {"auto", "lanczos", "dense"}
    max_products : int, optional
        Budget of matrix-vector products, by default 200 + 50 for each wanted eigenvalue.
    budget : float, optional
        Seconds after which no further product is begun; the first block is always taken.
    on_failure : {"raise", "return"}
        What becomes of a result that has not converged: its `status` says so either way.
    ghost_batch_size : int, optional
        Samples that share batch-norm statistics, where they are fewer than a batch: ghost batch normalisation
        [Hoffer, NeurIPS 2017]. It must divide every batch.

    Returns
    -------
    Curvature

    Raises
    ------
    InvalidInput
        Input that cannot be measured: one line with what was expected, what came and what to do.
    NumericalFailure
        A budget ended before convergence or before the check, or products are not finite; `result` holds what
        was found.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> result = curvature(layer, (torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)))
    >>> round(result.largest_eigenvalue, 4), round(result.max_learning_rate(momentum=0.9), 4)
    (5.0, 0.76)
    """
    started = time.perf_counter()
    check_choice("on_failure", on_failure, ("raise", "return"))
    question = _question(top, tolerance, method, max_products, deadline(budget))
    with prepared(model, batches, loss, kind, statistics, seed, ghost_batch_size) as measured:
        check_tolerance(tolerance, measured.function.dtype)
        solution = solve(measured, question)
    result = _result(solution, measured, time.perf_counter() - started)
    if not result.is_converged and on_failure == "raise":
        raise NumericalFailure(
            f'{result.status}; raise max_products or the budget, or use on_failure="return"', result
        )
    return result
