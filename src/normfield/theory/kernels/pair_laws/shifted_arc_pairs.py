r"""Pairs under φ(x) = c₁x + c₂|x| with a shift β ≠ 0: orthants of the bivariate normal.

Let t_i = β/|s_i|, H_i = 1[g_i > −t_i], k = 2c₂, k₀ = c₁ − c₂, so that ψ = k₀ + kH and φ = aψ. With n the normal
density, Φ its integral, sinθ = √(1 − ρ²), z_ij = (t_j − ρt_i)/sinθ, A_ij = Φ(z_ij) = P(H_j | g_i = −t_i),
e = exp(−(t_i² + z_ij²)/2), m = Φ(t) − t n(t) and Owen's function T,

    L = E H_iH_j        = ½(Φ_i + Φ_j) − T(t_i, z_ij/t_i) − T(t_j, z_ji/t_j)
    U = E g_iH_iH_j     = n_iA_ij + ρn_jA_ji
    M = E g_iH_ig_jH_j  = ρ(L − t_in_iA_ij − t_jn_jA_ji) + sinθ e/2π

(Rosenbaum's moments of a truncated normal pair). ψ′ = kδ(g + t), so that with b_ij = n_i(k₀ + kA_ij),
w = k² sinθ e/2π and d = k² t_it_j e/(2π sinθ)

    E f_i′ψ_j = E ψψ − k t_ib_ij                E f_iψ_j′  = w − kρ t_jb_ji
    E f_i″f_j = (1 + t_i²)w − kρ t_i³b_ij − ρd   E f_i′f_j′ = E ψψ − k(t_ib_ij + t_jb_ji) + d.

The singular d (two steps at one place) cancels in what kernels are made of; where ρ = ±1 it is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace, to_device
from scipy.special import ndtr, owens_t

from normfield.theory.kernels.pair_laws.laws import Arguments, Derivatives, Values

_FAR = 1e3  # deviations at which nothing of the density is left
_COINCIDE = 1e-8


@dataclass(frozen=True)
class ShiftedArcLaw:
    """The law of c₁x + c₂|x| around β ≠ 0, computed on the host."""

    arguments: Arguments
    c1: float
    c2: float

    @property
    def _offset(self) -> float:
        return self.c1 - self.c2

    @property
    def _step(self) -> float:
        return 2 * self.c2

    @cached_property
    def _rho(self) -> np.ndarray:
        return np.asarray(to_device(self.arguments.correlation, "cpu"))

    @cached_property
    def _scale(self) -> np.ndarray:
        return np.abs(np.asarray(to_device(self.arguments.scale, "cpu")))

    @cached_property
    def _distance(self) -> np.ndarray:
        """t, up to where nothing of the density is left."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.clip(self.arguments.shift / self._scale, -_FAR, _FAR)

    @cached_property
    def _density(self) -> np.ndarray:
        return np.exp(-(self._distance**2) / 2) / math.sqrt(2 * math.pi)

    @cached_property
    def _sine(self) -> np.ndarray:
        return np.sqrt((1 - self._rho) * (1 + self._rho))

    @cached_property
    def _beyond(self) -> np.ndarray:
        """z_ij."""
        t = self._distance
        gap = t[None, :] - self._rho * t[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(gap == 0, 0.0, gap / self._sine)

    @cached_property
    def _given(self) -> np.ndarray:
        """n_i A_ij."""
        return self._density[:, None] * ndtr(self._beyond)

    @cached_property
    def _both_near(self) -> np.ndarray:
        """e/2π."""
        t = self._distance[:, None]
        near = np.exp(-(t * t + self._beyond**2) / 2) / (2 * math.pi)
        return (near + near.T) / 2

    @cached_property
    def _orthant(self) -> np.ndarray:
        """L."""
        half = ndtr(self._distance)[:, None] / 2 - owens_t(
            self._distance[:, None], self._beyond / self._distance[:, None]
        )
        return half + half.T

    def _give(self, numbers: np.ndarray) -> Any:
        like = self.arguments.correlation
        return array_namespace(like).asarray(numbers, dtype=like.dtype, device=getattr(like, "device", None))

    def _slopes(self) -> np.ndarray:
        k0, k = self._offset, self._step
        single = k0 * k0 / 2 + k0 * k * ndtr(self._distance)
        return single[:, None] + single[None, :] + k * k * self._orthant

    def _argued_pairs(self) -> np.ndarray:
        """M."""
        given = self._distance[:, None] * self._given
        return self._rho * (self._orthant - given - given.T) + self._sine * self._both_near

    def values(self) -> Values:
        beta, s, rho, t, n = self.arguments.shift, self._scale, self._rho, self._distance, self._density
        k0, k = self._offset, self._step
        both, positive = self._argued_pairs(), ndtr(t)
        inside = positive - t * n
        single = k0 * k0 / 2 + k0 * k * inside
        argued = rho * (single[:, None] + single[None, :]) + k * k * both
        leaning = (beta * s)[:, None] * (self._given + rho * self._given.T)
        free = beta * (beta * positive + s * n)[None, :] + s[:, None] * rho * (beta * n + s * inside)[None, :]
        halves = k * k * leaning + k0 * k * free
        product = halves + halves.T + k * k * (beta**2 * self._orthant + np.outer(s, s) * both)
        product += k0 * k0 * (beta**2 + np.outer(s, s) * rho)
        mean = self.c1 * beta + self.c2 * (beta * (2 * positive - 1) + 2 * s * n)
        return Values(*(self._give(x) for x in (mean, product, self._slopes(), argued)))

    def derivatives(self) -> Derivatives:
        k, rho, t = self._step, self._rho, self._distance
        slopes = self._slopes()
        bent = k * t[:, None] * (self._offset * self._density[:, None] + k * self._given)
        w = k * k * self._sine * self._both_near
        square = (t * t)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = k * k * np.outer(t, t) * self._both_near / self._sine
        d = np.where(self._sine > _COINCIDE, apart, 0.0)
        found = (
            slopes - bent,
            w - rho * bent.T,
            (1 + square) * w - rho * (square * bent + d),
            slopes - bent - bent.T + d,
        )
        return Derivatives(*(self._give(x) for x in found))
