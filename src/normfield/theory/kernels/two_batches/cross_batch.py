r"""Exact moments between two batches that batch norm normalises separately, φ(x) = c₁x + c₂|x|, β = 0.

Centred pre-activations (y₁, y₂) ~ N(0, Σ̃), Σ̃ = [[Σ₁, Ξ], [Ξᵀ, Σ₂]], h_b = γ√B_b φ(y_b)/√R_b, R_b = ‖y_b‖² + B_bε and

    J_b = ∂h_b/∂z_b = γ√B_b diag φ′(y_b) (G_b − y_b y_bᵀ/R_b)/√R_b.

**The normalisers.** R₁^{−1/2}R₂^{−1/2} = (1/π) ∫∫ (st)^{−1/2} e^{−sR₁−tR₂} ds dt; one more power of 1/R₁ is a factor
2s, of 1/R₂ a factor 2t, since R^{−3/2} = (2/√π) ∫ s^{1/2} e^{−sR} ds. Under the weight e^{−s‖y₁‖²−t‖y₂‖²} (y₁, y₂) is
Gaussian with

    Π = (Σ̃⁻¹ + 2D)⁻¹ = [[A, X], [Xᵀ, C]],    D = sI ⊕ tI,

times det(I + 2DΣ̃)^{−1/2}; all weights together are w(s, t) = (1/π)(st)^{−1/2} e^{−sB₁ε−tB₂ε} det(I + 2DΣ̃)^{−1/2}. With
a, b the deviations √diag A, √diag C, ρ = X/abᵀ, sinθ = √(1 − ρ²), κ = 2c₂²/π:

    P = E[φ′φ′ᵀ] = c₁² + κ asin ρ,    M = E[φφᵀ] = X∘P + κ abᵀ∘sinθ,    E[h₁h₂ᵀ] = γ²√(B₁B₂) ∫∫ w M.

**The tangent kernel.** With T = G₁Θ₁₂G₂, φ(y) = φ′(y)y turns J₁Θ₁₂J₂ᵀ into four terms,

    φ′φ′ᵀ∘T − φ(y₁)_i (Tᵀy₁)_j φ′(y₂)_j/R₁ − φ′(y₁)_i (Ty₂)_i φ(y₂)_j/R₂ + φ(y₁)_i φ(y₂)_j (y₁ᵀTy₂)/(R₁R₂),

whose Gaussian expectations Stein's lemma gives, with φ″ = 2c₂δ, S = κ sinθ and E[φ(y₁)_i φ″(y₂)_j] = S_ij a_i/b_j:

    E[φ_i (Tᵀy₁)_j φ′_j] = (AT)_ij P_ij + (TᵀX)_jj S_ij a_i/b_j,
    E[φ′_i (Ty₂)_i φ_j]  = (TC)_ij P_ij + (TXᵀ)_ii S_ij b_j/a_i,
    E[φ_iφ_j y₁ᵀTy₂] = ⟨T, X⟩ M_ij + (ATXᵀ)_ii S_ij b_j/a_i + (XᵀTC)_jj S_ij a_i/b_j + (ATC + XTᵀX)_ij P_ij.

With L = I − 2sA and N = I − 2tC they add up to

    E[J₁Θ₁₂J₂ᵀ] = γ²√(B₁B₂) ∫∫ w [P∘(LTN + 4st XTᵀX) + 4st⟨T, X⟩M
                                  − S∘(2s (XᵀTN)_jj a_i/b_j + 2t (LTXᵀ)_ii b_j/a_i)].

**At a node.** At t = 0 the first batch's weight leaves A_s = Σ₁(I + 2sΣ₁)⁻¹, X_s = (I + 2sΣ₁)⁻¹Ξ and
C_s = Σ₂ − 2sΞᵀX_s = V diag(μ)Vᵀ. With Y = X_sV and d = 1/(1 + 2tμ) every t then costs products only: X = YdVᵀ,
C = V(μd)Vᵀ, N = VdVᵀ, A = A_s − 2tYdYᵀ, det = det(I + 2sΣ₁) Π(1 + 2tμ).

For two batches that are the same one, Ξ = Σ₁ = Σ₂, all depends on s + t, and (1/π) ∫∫ (st)^{−1/2} f(s + t) ds dt =
∫ f(s) ds gives the one-batch integrals of `homogeneous`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.theory.kernels.layer.centred import centre, host
from normfield.theory.kernels.layer.homogeneous_pairs import Homogeneous, Pairs, inverse, pairs
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.two_batches.blocks import CrossMoments, TwoBatches, two_batches
from normfield.theory.kernels.two_batches.cross_nodes import HalfLine, half_line, log_weight

_REFINEMENTS = 3  # a rule that starts near its tolerance needs one, rarely two
_NUMBERS = 50_000  # pairs of samples at once, of one or several nodes: a stack of such arrays fits a processor's cache
_DIVERGES = (
    "diverges: the gradients through two batch norms have an infinite mean product at eps = 0, because the centred "
    "batches have ranks {first} and {second}, {joint} together (they need 2 each and 3 together); give eps > 0"
)


@dataclass(frozen=True)
class _Sums:
    """Σ of weights times M, and times what pulls T back (None without T)."""

    second: Any
    pulled: Any

    def plus(self, other: _Sums) -> _Sums:
        """Both sums."""
        pulled = None if self.pulled is None else self.pulled + other.pulled
        return _Sums(self.second + other.second, pulled)

    def times(self, factor: float) -> _Sums:
        """Both, scaled."""
        return _Sums(self.second * factor, None if self.pulled is None else self.pulled * factor)


def cross_moments(
    nngp_11: Any,
    nngp_12: Any,
    nngp_22: Any,
    ntk_12: Any | None,
    norm: BatchNormalisation,
    c1: float,
    c2: float,
    tolerance: float = 1e-6,
    resting: float | None = None,
) -> CrossMoments:
    """Moments of a layer between two batches, each normalised with its own statistics.

    Parameters
    ----------
    nngp_11, nngp_12, nngp_22 : array
        K of both batches together, by blocks: (B₁, B₁), (B₁, B₂), (B₂, B₂).
    ntk_12 : array, optional
        Θ₁₂ (B₁, B₂).
    norm
        γ and ε of the batch norm; β must be 0.
    c1, c2
        φ(x) = c₁x + c₂|x|.
    tolerance
        Relative error of the largest entries.
    resting
        φ′(0), taken by a sample that is the mean of its batch; c₁ if not given.

    Raises
    ------
    InvalidInput
        β is not 0, shapes do not fit, a batch's samples are all alike at ε = 0, or the blocks are no joint covariance.
    """
    if norm.beta != 0:
        raise InvalidInput(
            expected="beta = 0 for the exact kernel", got=f"{norm.beta}", instead="use concentrated"
        )
    batches, phi = two_batches(nngp_11, nngp_12, nngp_22, norm.eps), Homogeneous(c1, c2, resting)
    tangent = None if ntk_12 is None or batches.diverges else centre(ntk_12)
    sums, error = _integrals(batches, tangent, phi, tolerance)
    by_scale = sums.second * math.sqrt(batches.first.size * batches.second.size)
    pulled = None
    if ntk_12 is not None:
        pulled = by_scale * 0 + math.inf if sums.pulled is None else _rescaled(sums.pulled, batches, norm)
    diverges = ntk_12 is not None and batches.diverges
    return CrossMoments(
        second=norm.gamma**2 * by_scale,
        pulled=pulled,
        by_scale=by_scale,
        by_shift=_signs(batches, phi),
        error=error,
        status=_words(batches) if diverges else "",
    )


def _rescaled(pulled: Any, batches: TwoBatches, norm: BatchNormalisation) -> Any:
    return pulled * (norm.gamma**2 * math.sqrt(batches.first.size * batches.second.size) / batches.unit)


def _words(batches: TwoBatches) -> str:
    return _DIVERGES.format(first=batches.first.rank, second=batches.second.rank, joint=batches.factor.rank)


def _signs(batches: TwoBatches, phi: Homogeneous) -> Any:
    """E[φ′φ′ᵀ] at Σ̃: signs do not feel the normalisers."""
    space = array_namespace(batches.between)
    rows, columns = (inverse(space.sqrt(each.variances)) for each in (batches.first, batches.second))
    return pairs(phi, batches.between, rows, columns).slopes


def _integrals(
    batches: TwoBatches, tangent: Any | None, phi: Homogeneous, tolerance: float
) -> tuple[_Sums, float]:
    """Both integrals, and the error that one halving of the steps leaves.

    Convergence is geometric, so that a halving squares the error: ten times the square of the change is safe.
    """
    lines = [half_line(each, _power(batches, tangent), tolerance) for each in (batches.first, batches.second)]
    least = tolerance * 1e-3 * lines[0].total * lines[1].total
    sums, error = _Nodes(batches, tangent, phi, lines[0], lines[1], least).all(), math.inf
    for _ in range(_REFINEMENTS):
        lines = [line.finer() for line in lines]
        fresh = _Nodes(batches, tangent, phi, lines[0], lines[1], least).between_coarser()
        finer = sums.times(0.25).plus(fresh)
        change = max(
            _change(finer.second, sums.second),
            0.0 if tangent is None else _change(finer.pulled, sums.pulled),
        )
        sums, error = finer, 10 * change**2 + tolerance / 100
        if error <= tolerance:
            break
    return sums, error


def _power(batches: TwoBatches, tangent: Any | None) -> float:
    """How the integrand grows beside one batch's weight in the worst case, two batches that nearly coincide."""
    if tangent is None:
        return 0.0
    return 1.0 if batches.first.eps == 0 and min(batches.first.rank, batches.second.rank) == 2 else 2.0


def _change(finer: Any, coarser: Any) -> float:
    space = array_namespace(finer)
    size = float(space.max(space.abs(finer)))
    return float(space.max(space.abs(finer - coarser))) / size if size > 0 else 0.0


@dataclass(frozen=True)
class _Nodes:
    """A grid of s and t; nodes with less than ``least`` of w and weights, shared among them, are left out."""

    batches: TwoBatches
    tangent: Any | None
    phi: Homogeneous
    first: HalfLine
    second: HalfLine
    least: float

    def all(self) -> _Sums:
        """Sums over every node."""
        return self._sum(lambda k: slice(None))

    def between_coarser(self) -> _Sums:
        """Sums over the nodes that the rule of twice the step does not have."""
        return self._sum(lambda k: slice(1, None, 2) if k % 2 == 0 else slice(None))

    def _sum(self, chosen: Any) -> _Sums:
        space = array_namespace(self.batches.between)
        zero = space.zeros_like(self.batches.between)
        sums = _Sums(zero, None if self.tangent is None else zero)
        least = self.least / (self.first.points.size * self.second.points.size)
        t, weights = self.second.nodes, self.second.weights
        for k, (s, weight) in enumerate(zip(self.first.nodes, self.first.weights, strict=True)):
            scaled = 4 / math.pi * weight * math.exp(float(log_weight(self.batches.first, np.array(s))))
            line = _OneLine.at(float(s), self.batches, self.tangent, self.phi)
            w = scaled * weights[chosen(k)] * line.weights(t[chosen(k)])
            for part in _parts(np.flatnonzero(w > least), zero.shape):
                sums = sums.plus(line.integrals(t[chosen(k)][part], w[part]))
        return sums


@dataclass(frozen=True)
class _OneLine:
    """All that one s gives to every t; letters as in the module's text.

    Attributes
    ----------
    vectors, values
        V and μ of C_s.
    crossed
        Y = X_sV.
    variances
        diag A_s.
    damping
        B₂ε.
    tangent
        (I − 2sA_s)TV and YᵀTV; None without Θ.
    """

    s: float
    phi: Homogeneous
    vectors: Any
    values: np.ndarray
    crossed: Any
    variances: Any
    damping: float
    tangent: tuple[Any, Any] | None

    @classmethod
    def at(cls, s: float, batches: TwoBatches, tangent: Any | None, phi: Homogeneous) -> _OneLine:
        """One s."""
        factor, second = batches.factor, batches.second
        space = array_namespace(factor.loadings)
        shrink = 1 / (1 + 2 * s * factor.strengths)
        remaining = (factor.loadings * factor.array(shrink)) @ factor.loadings.T
        values, vectors = space.linalg.eigh((remaining + remaining.T) / 2)
        crossed = factor.crossed(shrink) @ vectors
        light = factor.array((factor.strengths * shrink)[: factor.own_rank])
        own = factor.directions
        turned = None
        if tangent is not None:
            tv = tangent @ vectors
            turned = (tv - 2 * s * (own @ (light[:, None] * (own.T @ tv))), crossed.T @ tv)
        return cls(
            s=s,
            phi=phi,
            vectors=vectors,
            values=np.clip(host(values), 0.0, None),
            crossed=crossed,
            variances=(own * own) @ light,
            damping=second.size * second.eps,
            tangent=turned,
        )

    def weights(self, t: np.ndarray) -> np.ndarray:
        """e^{−tB₂ε} Π(1 + 2tμ)^{−1/2} at each t."""
        return np.exp(-t * self.damping - 0.5 * np.sum(np.log1p(2 * t[:, None] * self.values), axis=1))

    def integrals(self, t: np.ndarray, weights: np.ndarray) -> _Sums:
        """Sums over values of t of M and of what pulls T back; arrays are stacked by t."""
        space = array_namespace(self.vectors)
        shrink = 1 / (1 + 2 * t[:, None] * self.values)
        d, light, times = (self._array(each) for each in (shrink, self.values * shrink, t[:, None]))
        yd = self.crossed * d[:, None, :]
        a = space.sqrt(space.clip(self.variances - 2 * times * space.vecdot(yd, self.crossed), min=0.0))
        b = space.sqrt(light @ (self.vectors * self.vectors).T)
        pair = pairs(self.phi, yd @ self.vectors.T, inverse(a), inverse(b))
        m = pair.covariance * pair.slopes + pair.sines * a[:, :, None] * b[:, None, :]
        scale = self._array(weights)[:, None, None]
        second = space.sum(scale * m, axis=0)
        if self.tangent is None:
            return _Sums(second, None)
        return _Sums(second, space.sum(scale * self._pulled(times, d, yd, a, b, pair, m), axis=0))

    def _array(self, numbers: np.ndarray) -> Any:
        space = array_namespace(self.vectors)
        return space.asarray(numbers, dtype=self.vectors.dtype, device=self.vectors.device)

    def _pulled(self, t: Any, d: Any, yd: Any, a: Any, b: Any, pair: Pairs, m: Any) -> Any:
        """P∘(LTN + 4st XTᵀX) + 4st⟨T, X⟩M − S∘(…)."""
        assert self.tangent is not None
        space = array_namespace(d)
        left, inner = self.tangent
        st = 4 * self.s * t[:, :, None]
        ltv = left + st * (yd @ inner)
        total = pair.slopes * (((ltv + st * (yd @ inner.T)) * d[:, None, :]) @ self.vectors.T)
        total += st * (d @ space.linalg.diagonal(inner))[:, None, None] * m
        rows = 2 * t * space.vecdot(ltv, yd) * inverse(a)
        light = (self.vectors * d[:, None, :]) @ inner * d[:, None, :]
        columns = 2 * self.s * space.vecdot(light, self.vectors) * inverse(b)
        return total - pair.sines * (a[:, :, None] * columns[:, None, :] + rows[:, :, None] * b[:, None, :])


def _parts(chosen: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Nodes in stacks of at most `_NUMBERS` pairs."""
    at_once = max(1, _NUMBERS // max(1, shape[0] * shape[1]))
    return [chosen[start : start + at_once] for start in range(0, chosen.size, at_once)]
