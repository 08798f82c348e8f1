r"""Largest Fisher eigenvalue from order parameters: every parameter's term, finite samples, and when it is the top.

Per output and at infinite width, λ_max is at least Σ over parameters of the squared mean gradient, i.e. of its
two-sample moment; the bound is attained where this common direction dominates [Wei, Claim 3.1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.errors import NotCovered
from normfield.theory.chain import Affine, Chain
from normfield.theory.population import Population, Statistics


@dataclass(frozen=True)
class Term:
    """What one layer's parameters of one kind ("weight", "bias", "gamma", "beta", …) add to λ_max."""

    layer: int
    kind: str
    value: np.ndarray


def fisher_terms(chain: Chain, population: Population) -> tuple[Term, ...]:
    r"""The term of every trainable parameter, layer by layer.

    Weights N_{l−1} q̂_xy q̃_xy per output position, biases q̃_xy, and for each norm σ_w² q̃_xy of the next layer times
    (E φ′z)² (γ) and (E φ′)² (β) [Wei, Claim 3.1, completed by biases and norms].

    Returns
    -------
    tuple of Term
        Values of the grid's shape.
    """
    parameters = population.order_parameters
    terms: list[Term] = []
    for affine, q_hat_xy, q_tilde_xy in zip(
        chain.affines, _inputs(parameters.q_hat_xy, 0.0), parameters.q_tilde_xy, strict=True
    ):
        terms.append(Term(affine.number, "weight", _weight_term(affine, q_hat_xy, q_tilde_xy)))
        if affine.bias:
            terms.append(Term(affine.number, "bias", affine.positions * q_tilde_xy))
        if affine is not chain.head:
            terms += _norm_terms(chain, population, affine)
    return tuple(terms)


def _inputs(q_hat: np.ndarray, base: float) -> np.ndarray:
    """q̂ of layers 0..L−1, from that of layers 1..L and the base case."""
    return np.concatenate([np.full_like(q_hat[:1], base), q_hat[:-1]])


def _weight_term(affine: Affine, q_hat_xy: np.ndarray, q_tilde_xy: np.ndarray) -> np.ndarray:
    """N_{l−1} q̂_xy q̃_xy |K_l|: [Wei, Eq. 45] with q̂_αβ,xy = q̂_xy and q̃_αβ,xy = 0."""
    return np.asarray(affine.fan_in * q_hat_xy * q_tilde_xy * affine.positions)


def _norm_terms(chain: Chain, population: Population, affine: Affine) -> list[Term]:
    gradient = affine.positions * population.gradient_xy(chain, affine.number)
    scales = population.passes[affine.number - 1].scales
    return [Term(affine.number, kind, np.asarray(gradient * scale)) for kind, scale in scales]


def finite_sample_term(chain: Chain, population: Population, statistics: Statistics) -> np.ndarray:
    """m × what m samples add to λ_max, to leading order in 1/m.

    "published", "frozen" and networks without batch norm: Σ_l N_{l−1}(q̂q̃ − q̂_xy q̃_xy). "batch": the backward pass takes
    out of δ its mean and its part along u, and Σ_{l<L} N_{l−1}(q̂ − q̂_xy)q̃·[Var φ′ − (E φ′z)²]/E φ′² +
    N_{L−1}[Var φ − γ²(E φ′)²] is left.

    Raises
    ------
    NotCovered
        "batch" with convolutions, or with batch norm on some hidden layers only: no leading order is known.
    """
    if statistics == "batch" and chain.has("batch"):
        return _batch_finite_sample_term(chain, population)
    p = population.order_parameters
    rows = zip(
        chain.affines, _inputs(p.q_hat, 1.0), _inputs(p.q_hat_xy, 0.0), p.q_tilde, p.q_tilde_xy, strict=True
    )
    return np.asarray(sum(a.fan_in * a.positions * (h * d - h_xy * d_xy) for a, h, h_xy, d, d_xy in rows))


def _batch_finite_sample_term(chain: Chain, population: Population) -> np.ndarray:
    plain = [
        block.affine.number for block in chain.blocks if block.norm is None or block.norm.kind != "batch"
    ]
    if plain or any(affine.kind == "conv" for affine in chain.affines):
        where = f"layer {plain[0]} has no batch norm" if plain else "there are convolutions"
        raise NotCovered(
            f"the finite-sample term in batch mode is known for dense networks with batch norm on every hidden "
            f"layer, here {where}: use samples=None, or the measured answer"
        )
    p = population.order_parameters
    spreads = _inputs(p.q_hat, 1.0) - _inputs(p.q_hat_xy, 0.0)
    below = sum(
        affine.fan_in * spread * q_tilde * step.fluctuation
        for affine, spread, q_tilde, step in zip(
            chain.affines[:-1], spreads, p.q_tilde, population.passes, strict=False
        )
    )
    last = population.passes[-1]
    # E φz = γ E φ′ (Stein), so γ²(E φ′)² is the variance that φ shares with u.
    aligned = _aligned_variance(chain, population)
    return np.asarray(below + chain.head.fan_in * (last.q_hat - last.q_hat_xy - aligned))


def _aligned_variance(chain: Chain, population: Population) -> np.ndarray:
    norm = chain.blocks[-1].norm
    assert norm is not None
    slope2 = dict(population.passes[-1].scales)["beta"]
    return np.square(norm.gamma) * slope2


def other_directions(chain: Chain, population: Population, total: np.ndarray, samples: object) -> np.ndarray:
    """An upper estimate of the largest eigenvalue outside the common direction.

    The trace per sample that the common direction leaves, T, spread over the N_0 directions of i.i.d. inputs, with the
    Marchenko–Pastur edge of m samples: T(1/√N_0 + 1/√m)².
    """
    p = population.order_parameters
    trace = sum(
        affine.positions * (affine.fan_in * q_hat + affine.bias) * q_tilde
        for affine, q_hat, q_tilde in zip(chain.affines, _inputs(p.q_hat, 1.0), p.q_tilde, strict=True)
    )
    left = np.maximum(trace - total, 0.0)
    m = np.inf if samples is None else np.asarray(samples, dtype=float)
    return np.asarray(left * (1 / np.sqrt(chain.inputs) + 1 / np.sqrt(m)) ** 2)
