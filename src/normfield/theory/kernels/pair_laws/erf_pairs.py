r"""Pairs under erf without a shift: every expectation is that of a polynomial under a Gaussian.

E φφ = (2/π) asin(2V_ij/√((1 + 2V_ii)(1 + 2V_jj))), V_ij = s_is_jρ_ij [Williams 1997]. ψ = (2/√π)e^{−s²g²} shrinks the
covariance of (g_i, g_j): with d = 1 − ρ² and Δ = 1 + 2s_i² + 2s_j² + 4s_i²s_j²d,

    E ψψ = P = (4/π)/√Δ,   A_ii = (1 + 2s_j²d)/Δ,   A_ij = ρ/Δ,

and ψ′ = −2s²gψ, f′ = (1 − 2s²g²)ψ, f″ = (4s⁴g³ − 6s²g)ψ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from normfield.theory.kernels.pair_laws.laws import Arguments, Derivatives, Values


@dataclass(frozen=True)
class ErfLaw:
    """The law of erf."""

    arguments: Arguments

    def _shrunk(self) -> tuple[Any, Any, Any]:
        """P, A_ii as a matrix over pairs, and A_ij."""
        rho, square = self.arguments.correlation, self.arguments.scale**2
        rows = square[:, None]
        d = (1 - rho) * (1 + rho)
        delta = 1 + 2 * rows + 2 * rows.T + 4 * rows * rows.T * d
        return 4 / math.pi * delta**-0.5, (1 + 2 * rows.T * d) / delta, rho / delta

    def values(self) -> Values:
        xp = array_namespace(self.arguments.correlation)
        rho, scale = self.arguments.correlation, self.arguments.scale
        slopes, _, cross = self._shrunk()
        sines = scale * (2 / (1 + 2 * scale**2)) ** 0.5
        product = 2 / math.pi * xp.asin(rho * sines[:, None] * sines[None, :])
        return Values(xp.zeros_like(scale), product, slopes, slopes * cross)

    def derivatives(self) -> Derivatives:
        slopes, own, cross = self._shrunk()
        left = self.arguments.scale[:, None] ** 2
        right = left.T
        both = 1 - 2 * left * own - 2 * right * own.T + 4 * left * right * (own * own.T + 2 * cross**2)
        return Derivatives(
            bent_left=slopes * (1 - 2 * left * own),
            bent_right=-2 * slopes * right * cross,
            curved=slopes * cross * (12 * left**2 * own - 6 * left),
            both=slopes * both,
        )
