"""Stochastic Lanczos quadrature: the distribution of a symmetric matrix's eigenvalues as random vectors see it.

A unit vector q of size D, uniform on the sphere, gives E qᵀf(K)q = (1/D)·Σ_i f(λ_i). Some steps of Lanczos from q
turn qᵀf(K)q into Σ_j w_j f(θ_j), exact for polynomials of a degree below twice the number of steps: θ_j the Ritz
values, w_j the squared first components of their vectors [Golub and Meurant, *Matrices, Moments and Quadrature*,
chapter 6].
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from normfield.measure.eigenvalues.krylov import KrylovSpace

Rule = tuple[np.ndarray, np.ndarray]
"""Nodes θ, ascending, and weights w, which sum to 1."""


def lanczos_rule(product: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Rule:
    """The rule of one start (D,), fully reorthogonalised; fewer nodes where the space closes before."""
    space = KrylovSpace(product)
    space.expand(start[None])
    while space.dimension < steps and space.expand_outwards(1):
        pass
    ritz = space.ritz()
    return ritz.values[::-1].copy(), np.square(ritz.coefficients[0])[::-1].copy()


def random_rules(
    product: Callable[[Tensor], Tensor],
    like: Tensor,
    size: int,
    probes: int,
    steps: int,
    seed: int,
    until: float,
) -> list[Rule]:
    """The rules of some random starts; none is begun after ``until`` (of ``time.monotonic()``) but the first two."""
    generator = torch.Generator().manual_seed(seed)
    rules: list[Rule] = []
    while len(rules) < probes and (len(rules) < 2 or time.monotonic() <= until):
        start = torch.randn(size, generator=generator, dtype=torch.float64).to(like)
        rules.append(lanczos_rule(product, start, min(steps, size)))
    return rules
