r"""Pairs under φ(x) = c₁x + c₂|x| without a shift: arc-cosine kernels.

With κ = 2c₂²/π and sinθ = √(1 − ρ²), s of one sign:

    E ψψ = c₁² + κ asin ρ,   E ff = c₁²ρ + κ(sinθ + ρ asin ρ),   E φφ = s_i s_j E ff
    f′ = ψ, so that E f_i′ψ_j = E f_i′f_j′ = E ψψ;   f″ = ψ′ = 2c₂δ(g), so that E f_iψ_j′ = E f_i″f_j = κ sinθ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from normfield.theory.kernels.pair_laws.laws import Arguments, Derivatives, Values


@dataclass(frozen=True)
class ArcLaw:
    """The law of c₁x + c₂|x|; ``resting`` is φ′(0), taken by samples without variance."""

    arguments: Arguments
    c1: float
    c2: float
    resting: float

    @property
    def _kappa(self) -> float:
        return 2 * self.c2**2 / math.pi

    def _sine(self) -> Any:
        xp = array_namespace(self.arguments.correlation)
        rho = self.arguments.correlation
        return xp.sqrt((1 - rho) * (1 + rho))

    def _slopes(self) -> Any:
        """E ψψ, with ψ = φ′(0) for samples without variance."""
        xp = array_namespace(self.arguments.correlation)
        slopes = xp.asin(self.arguments.correlation)
        slopes *= self._kappa
        slopes += self.c1**2
        still = self.arguments.scale == 0
        if not bool(xp.any(still)):
            return slopes
        ones = xp.ones_like(self.arguments.scale)
        expected = xp.where(still, self.resting * ones, self.c1 * ones)
        return xp.where(still[:, None] | still[None, :], expected[:, None] * expected[None, :], slopes)

    def values(self) -> Values:
        xp = array_namespace(self.arguments.correlation)
        rho, scale = self.arguments.correlation, self.arguments.scale
        argued = xp.asin(rho)
        argued *= self._kappa
        argued += self.c1**2
        argued *= rho
        argued += self._kappa * self._sine()
        return Values(
            mean=self.c2 * math.sqrt(2 / math.pi) * xp.abs(scale),
            product=argued * scale[:, None] * scale[None, :],
            slopes=self._slopes(),
            argued=argued,
        )

    def derivatives(self) -> Derivatives:
        slopes, sines = self._slopes(), self._kappa * self._sine()
        return Derivatives(slopes, sines, sines, slopes)
