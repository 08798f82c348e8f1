"""The largest eigenvalues of a symmetric matrix from its products, to a tolerance and with a check.

Block Lanczos with full reorthogonalisation. A Ritz value θ with residual norm r is off by at most r, and by at most
r²/δ where δ is its distance from the rest of the spectrum [Parlett, *The Symmetric Eigenvalue Problem*, theorem
11.7.1]; the smaller of the two is the error estimate, with δ the distance to the largest Ritz value outside the
wanted set, or to what the check below saw, with their residuals on top where the sum is below it too. That δ is itself
an estimate: within a cluster closer than r only the bound r, which results give as `residual`, is certain; wanting the
whole cluster resolves it.

A step expands by the residuals of those wanted Ritz vectors that are not within the tolerance yet: where nine of ten
are there, it costs one product, not ten.

Lanczos sees only what its start contains. Hence a second step: after convergence a random vector, orthogonal to all
that was found, opens a chain of its own, for at least `Goal.least_check` products and until its Ritz value plus its
residual is below the least wanted. If the wanted eigenvalues move, both chains go on as one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from normfield.measure.eigenvalues.krylov import KrylovSpace, NotFinite, Ritz

CHECK_PRODUCTS = (2, 12)
"""The least and the most products of one check."""

LEAST_OF_SEVERAL = 6
"""The least where several eigenvalues are wanted: of 600 matrices made of separate blocks, whose chains end at
different times, 2 products overlook a lower wanted eigenvalue in 44, 6 in 6 (expanding by all rows, in 3)."""

CONVERGED = "converged"
NOT_FINITE = "not finite: a product with the matrix gave NaN or infinity"
NOT_CONVERGED = "not converged: the budget ended before the tolerance was reached"

BASIS_ROWS = 120
BASIS_BYTES = 2**30
"""The basis is compressed above so many rows or bytes (never below what the wanted eigenvalues need)."""


@dataclass(frozen=True)
class LargestCheck:
    """What a random start orthogonal to everything found saw.

    Attributes
    ----------
    seen : float
        The largest Ritz value of its own chain.
    residual : float
        Its residual norm: an eigenvalue of the rest lies within it.
    products : int
        Products spent on checking.
    restarts : int
        How often it saw that something was missing, so that the search went on.
    note : str
        In words.
    """

    seen: float
    residual: float
    products: int
    restarts: int
    note: str

    def __str__(self) -> str:
        return self.note


UNCHECKED = LargestCheck(float("nan"), float("nan"), 0, 0, "no random start was made")


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """The largest eigenvalues as far as they were found.

    Attributes
    ----------
    values : numpy.ndarray
        (k,) descending, float64.
    vectors : Tensor
        (k, P) rows of unit norm.
    residual : float
        ‖Gy − θy‖/|θ| of the largest.
    error : float
        Estimated relative error of the largest.
    products : int
    status : str
        "converged", or what is missing.
    check : LargestCheck
    """

    values: np.ndarray
    vectors: Tensor
    residual: float
    error: float
    products: int
    status: str
    check: LargestCheck


@dataclass(frozen=True)
class Goal:
    """How many eigenvalues, to what relative tolerance and round-off, at what cost.
    ``deadline`` is a reading of ``time.monotonic()``: past it, no further product is begun, and before it no more at
    once than fit at the pace of those before.
    """

    wanted: int
    tolerance: float
    max_products: int
    rounding: float
    deadline: float = math.inf

    @property
    def least_check(self) -> int:
        """The least products of a check."""
        return CHECK_PRODUCTS[0] if self.wanted == 1 else LEAST_OF_SEVERAL


def error_estimates(ritz: Ritz, goal: Goal, rest: float = -math.inf) -> np.ndarray:
    """Absolute error estimates min(r, r²/δ) of the wanted Ritz values, and never below round-off.

    ``rest`` is what was seen elsewhere of the largest eigenvalue that is not wanted.
    """
    values, estimates = ritz.values[: goal.wanted], ritz.residuals[: goal.wanted]
    others = zip(ritz.values[goal.wanted :], ritz.residuals[goal.wanted :], strict=True)
    rest = max([rest, *(sight(value, r, values[-1]) for value, r in others)])
    if rest > -math.inf:
        gaps = np.maximum(values - rest, np.finfo(float).tiny)
        estimates = estimates * np.minimum(estimates / gaps, 1.0)
    return estimates + goal.rounding * np.abs(ritz.values).max()


def sight(value: float, residual: float, wanted: float) -> float:
    """The most that a Ritz value says of eigenvalues below the wanted ones: its upper end, where that is below too."""
    if not value < wanted:
        return -math.inf
    return value + residual if value + residual < wanted else value


def _note(seen: float, residual: float, found: float, restarts: int) -> str:
    """A check in words."""
    before = f"random starts found something larger {restarts} times and were followed; " if restarts else ""
    if np.isnan(seen):
        return before + "the vectors found span the whole space"
    sight = f"a random start saw {seen:.4g} ± {residual:.2g} beside the largest, {found:.4g}"
    verdict = (
        "nothing larger seen" if seen + residual <= found else "which does not settle that nothing is larger"
    )
    return f"{before}{sight}: {verdict}"


class _Search:
    """One search: a space that grows towards a goal, and the sources of random rows (1, P), best first."""

    def __init__(
        self, space: KrylovSpace, size: int, goal: Goal, sources: Sequence[Callable[[], Tensor]]
    ) -> None:
        self.space, self.goal = space, goal
        self.check = UNCHECKED
        self.rest = -math.inf  # what was seen of the largest eigenvalue that is not wanted
        self._size, self._sources = size, sources
        self._began = time.monotonic()

    @property
    def left(self) -> int:
        """Products that the budget still holds, at the pace so far one at least before the deadline, none after it."""
        seconds = self.goal.deadline - time.monotonic()
        if seconds <= 0:
            return 0
        products = self.goal.max_products - self.space.products
        if self.space.products == 0 or seconds == math.inf:
            return products
        pace = (time.monotonic() - self._began) / self.space.products
        return min(products, max(1, int(seconds / max(pace, 1e-9))))

    def converged(self) -> bool:
        """Whether all wanted eigenvalues are there, each to the tolerance relative to itself, or to round-off."""
        if self.space.dimension < self.goal.wanted:
            return False
        return not self._missing(self.space.ritz()).any()

    def _allowed(self, values: np.ndarray) -> np.ndarray:
        """The absolute errors that the goal allows."""
        return np.maximum(self.goal.tolerance * np.abs(values), 2 * self.goal.rounding * self.space.scale)

    def grow(self) -> bool:
        """Expand until converged or complete; False where the budget ended before."""
        while not self.converged():
            if self.left <= 0:
                return False
            if self.space.dimension > self._most_rows():
                self.space.compress(2 * self.goal.wanted + self.space.ways_out)
            if self._expand() == 0 and self._open_chain() == 0:
                return True
        return True

    def _expand(self) -> int:
        """Expand where the wanted Ritz vectors that are not there yet lead out; where none of them does, by any way."""
        if self.space.dimension == 0:
            return 0
        ritz = self.space.ritz()
        towards = ritz.coefficients[:, : self.goal.wanted][:, self._missing(ritz)]
        found = self.space.expand_towards(towards, self.left) if towards.shape[1] else 0
        return found or self.space.expand_outwards(self.left)

    def _missing(self, ritz: Ritz) -> np.ndarray:
        """Which wanted Ritz values are not there yet."""
        return error_estimates(ritz, self.goal, self.rest) > self._allowed(ritz.values[: self.goal.wanted])

    def _open_chain(self) -> int:
        """Expand by one random direction; 0 where there is none left."""
        return next(filter(None, (self.space.expand(source()) for source in self._sources)), 0)

    def _most_rows(self) -> int:
        """The basis is compressed above so many rows."""
        least = 4 * (self.goal.wanted + self.space.ways_out)
        return max(least, min(BASIS_ROWS, BASIS_BYTES // (8 * self._size)))

    @property
    def can_look_again(self) -> bool:
        """Whether the budget holds a check (or none is needed, because the space is complete)."""
        return self.left >= min(CHECK_PRODUCTS[0], self._size - self.space.dimension)

    def look_again(self) -> bool:
        """Follow a random chain; True where the wanted eigenvalues moved, so that the search must go on."""
        wanted, start = self.goal.wanted, self.space.products
        ritz = self.space.ritz()
        before = ritz.values[:wanted]
        others = zip(ritz.values[wanted:], ritz.residuals[wanted:], strict=True)
        self.space.compress(wanted)  # what was found is all that the chain need be orthogonal to
        seen = residual = float("nan")
        since = self.space.dimension
        if self._open_chain():
            seen, residual = self._follow_chain(since, float(before[-1]))
        self.rest = max(sight(value, r, before[-1]) for value, r in [*others, (seen, residual)])
        after = self.space.ritz().values[:wanted]
        moved = bool((after - before > self._allowed(before)).any())
        products, restarts = self.check.products + self.space.products - start, self.check.restarts + moved
        note = _note(seen, residual, float(after[0]), restarts)
        self.check = LargestCheck(seen, residual, products, restarts, note)
        return moved

    def _follow_chain(self, since: int, found: float) -> tuple[float, float]:
        """Lanczos within the chain that began at row `since`, until it lies below the least wanted value or above it.

        Its largest Ritz value and residual.
        """
        least, most = self.goal.least_check, CHECK_PRODUCTS[1]
        while True:
            chain, spent = self.space.ritz(since), self.space.dimension - since
            seen, residual = float(chain.values[0]), float(chain.residuals[0])
            decided = spent >= least and (seen + residual <= found or seen > found)
            settled = residual <= self.goal.rounding * self.space.scale
            over = spent >= most or self.left <= 0 or self.space.ways_out == 0
            if decided or settled or over:
                return seen, residual
            self.space.expand_outwards(1, only_latest=True)


def _status(search: _Search) -> str:
    """Run a search to its end and say how it ended."""
    while search.grow():
        if not search.can_look_again:
            return "not checked: the budget ended before a random start"
        if not search.look_again():
            return CONVERGED if search.grow() else NOT_CONVERGED
    return NOT_CONVERGED


def _found(search: _Search, status: str) -> Eigenpairs:
    """What the space holds at the end."""
    space, wanted = search.space, search.goal.wanted
    if space.dimension == 0:
        nothing = float("nan")
        return Eigenpairs(
            np.zeros(0), torch.zeros(0, 0), nothing, nothing, space.products, status, search.check
        )
    ritz = space.ritz()
    scale = max(abs(float(ritz.values[0])), float(np.finfo(float).tiny))
    return Eigenpairs(
        values=ritz.values[:wanted].copy(),
        vectors=space.vectors(ritz.coefficients[:, :wanted]),
        residual=float(ritz.residuals[0]) / scale,
        error=float(error_estimates(ritz, search.goal, search.rest)[0]) / scale,
        products=space.products,
        status=status,
        check=search.check,
    )


def largest_eigenpairs(
    product: Callable[[Tensor], Tensor],
    size: int,
    start: Callable[[], Tensor],
    goal: Goal,
    random_rows: Sequence[Callable[[], Tensor]],
) -> Eigenpairs:
    """The largest (not the largest in modulus) eigenvalues of a symmetric matrix.

    Parameters
    ----------
    product : callable
        q (P,) ↦ G·q (P,), a new tensor each time.
    size : int
        P.
    start : callable
        Makes the rows (b, P) of the first block; dependent and zero rows are allowed.
    goal : Goal
        How many, how exactly, at what cost at most.
    random_rows : sequence of callables
        Each draws a row (1, P) for the check and for refilling; a later one is asked where the draws of those
        before lie within what was seen.

    Returns
    -------
    Eigenpairs
        Status "converged", or what is missing: an iteration never ends early in silence.
    """
    search = _Search(KrylovSpace(product), size, goal, random_rows)
    try:
        search.space.expand(start()[: goal.max_products])
        status = _status(search)
    except NotFinite:
        status = NOT_FINITE
    return _found(search, status)
