"""The distribution of all eigenvalues of a module's curvature, in the mode in which it trains."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure.eigenvalues.dense import ROWS, ROWS_BYTES, dual_eigenvalues, primal_eigenvalues
from normfield.measure.eigenvalues.krylov import NotFinite
from normfield.measure.eigenvalues.lanczos import CONVERGED, NOT_FINITE
from normfield.measure.matrix.dual import DualOperator
from normfield.measure.matrix.prepared import Prepared, check_choice, check_count, deadline, prepared
from normfield.measure.whole_spectrum.density_result import SpectralDensity
from normfield.measure.whole_spectrum.quadrature import Rule, random_rules

METHODS = ("auto", "lanczos", "exact")
_EXACT_BYTES = 4 * 2**30


def _side(measured: Prepared) -> int:
    """The side of the smaller matrix that has all eigenvalues other than 0."""
    size = measured.function.size
    return min(size, measured.outputs) if measured.has_root else size


def _takes_exact(measured: Prepared, method: str) -> bool:
    side, row_bytes = _side(measured), measured.function.size * measured.function.dtype.itemsize
    if method == "exact" and side * row_bytes > _EXACT_BYTES:
        raise InvalidInput(
            expected=f'a matrix of at most {_EXACT_BYTES / 2**30:.0f} GiB for method="exact"',
            got=f"{side} rows of {row_bytes / 2**20:.1f} MiB",
            instead='use method="lanczos" or fewer samples',
        )
    return method == "exact" or (method == "auto" and side <= ROWS and side * row_bytes <= ROWS_BYTES)


def _exact(measured: Prepared) -> tuple[list[Rule], int]:
    """Every eigenvalue of the smaller matrix at equal weights."""
    operator = measured.operator()
    takes_dual = _side(measured) < measured.function.size
    values = dual_eigenvalues(operator) if takes_dual else primal_eigenvalues(operator, measured.like)
    return [(values, np.full(len(values), 1 / len(values)))], len(values)


def _sampled(measured: Prepared, probes: int, steps: int, until: float) -> tuple[list[Rule], int]:
    """Lanczos rules of the smaller matrix."""
    operator, side = measured.operator(), _side(measured)
    matrix = DualOperator(operator, side) if side < measured.function.size else operator
    rules = random_rules(matrix.product, measured.like, side, probes, steps, measured.seed, until)
    return rules, matrix.products


def _with_zeros(rule: Rule, share: float) -> Rule:
    """A rule whose eigenvalues are only part of all, beside certain zeros."""
    nodes, weights = rule
    if share == 1:
        return rule
    place = int(np.searchsorted(nodes, 0.0))
    return np.insert(nodes, place, 0.0), np.insert(weights * share, place, 1 - share)


def _result(
    measured: Prepared, rules: list[Rule], products: int, method: str, asked: int, steps: int
) -> SpectralDensity:
    size, side, read = measured.function.size, _side(measured), measured.batches
    scale = max(float(np.abs(nodes).max()) for nodes, _ in rules)
    complete = [_with_zeros(rule, side / size) for rule in rules]
    missing = asked - len(rules)
    return SpectralDensity(
        nodes=tuple(nodes for nodes, _ in complete),
        weights=tuple(weights for _, weights in complete),
        parameters=size,
        certain_zeros=size - side,
        zero_level=math.sqrt(side) * torch.finfo(measured.function.dtype).eps * scale,
        steps=steps,
        products=products,
        method=method,
        status=CONVERGED if missing <= 0 else f"not all probes: the budget ended {missing} short",
        kind=measured.kind,
        loss=measured.loss.name,
        statistics=measured.statistics,
        samples=read.samples,
        batches=len(read.items),
        dropped_samples=read.dropped_samples,
        seconds=0.0,
        ghost_batch_size=read.ghost_batch_size,
        assumes=measured.assumes,
    )


def _density(measured: Prepared, method: str, probes: int, steps: int, until: float) -> SpectralDensity:
    """All that is asked of what was prepared."""
    try:
        if _takes_exact(measured, method):
            return _result(measured, *_exact(measured), method="exact", asked=1, steps=0)
        rules, products = _sampled(measured, probes, steps, until)
    except NotFinite as error:
        raise NumericalFailure(NOT_FINITE, None) from error
    return _result(measured, rules, products, "lanczos", probes, steps)


def spectral_density(
    model: nn.Module,
    batches: Any,
    loss: Any = "squared",
    kind: str = "fisher",
    statistics: str = "batch",
    seed: int = 0,
    probes: int = 4,
    steps: int = 40,
    *,
    ghost_batch_size: int | None = None,
    method: str = "auto",
    budget: float | None = None,
) -> SpectralDensity:
    """Measure how all eigenvalues of the curvature of any module are distributed, by stochastic Lanczos quadrature.

    A probe is a random unit vector q: qᵀf(G)q has the mean (1/P)·Σ_i f(λ_i), and Lanczos with full reorthogonalisation
    turns it into Σ_j w_j f(θ_j), exact for polynomials f of a degree below 2·steps
    [Golub and Meurant, *Matrices, Moments and Quadrature*, chapter 6]. Fisher and Gauss-Newton matrices G = AᵀA with
    fewer outputs than parameters are probed as AAᵀ, which has the same eigenvalues without P − samples × outputs
    certain zeros; those are then exact. Matrices of a side up to 512 (and 256 MiB) are solved exactly.

    Parameters
    ----------
    model, batches, loss, kind, statistics
        As for `curvature`.
    seed : int
        Of the probes, and of a shuffling loader.
    probes : int
        Random starts, at least 2: the error bars are their spread.
    steps : int
        Lanczos steps, each one product, of every probe.
    ghost_batch_size : int, optional
        As for `curvature`.
    method : {"auto", "lanczos", "exact"}
    budget : float, optional
        Seconds after which no further probe is begun; the first two always are.

    Returns
    -------
    SpectralDensity

    Raises
    ------
    InvalidInput
        Input that cannot be measured.
    NumericalFailure
        Products that are not finite.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> found = spectral_density(layer, (torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.zeros(2, 1)))
    >>> [moment.value for moment in found.moments(2)]
    [2.5, 10.25]
    """
    started = time.perf_counter()
    check_choice("method", method, METHODS)
    check_count("steps", steps)
    if isinstance(probes, bool) or not isinstance(probes, int) or probes < 2:
        raise InvalidInput(
            expected="probes an integer of at least 2, whose spread is the error", got=repr(probes)
        )
    until = deadline(budget)
    with prepared(model, batches, loss, kind, statistics, seed, ghost_batch_size) as measured:
        found = _density(measured, method, probes, steps, until)
    return replace(found, seconds=time.perf_counter() - started)
