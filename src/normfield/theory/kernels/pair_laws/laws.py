r"""Expectations over two jointly normal arguments of an activation, all pairs of a batch at once.

g_i and g_j are standard normal with correlation ρ_ij, the activation's arguments are a_i = β + s_i g_i. With
ψ_i = φ′(a_i) and f_i = g_i ψ_i a law gives

    values       E φφ, E ψψ, E ff
    derivatives  E f_i′ψ_j, E f_iψ_j′, E f_i″f_j, E f_i′f_j′      (by g, in the sense of distributions)

which is all that Gaussian integration by parts asks of φ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from array_api_compat import array_namespace

from normfield.network import ActivationFunction
from normfield.theory.gaussian import derivative

ROUNDOFF = 32 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class Arguments:
    """Arguments β + s_i g_i with the correlations ρ of the g_i.

    A sample without variance has s = 0 and the correlation 0 with every other one.
    """

    correlation: Any
    scale: Any
    shift: float


@dataclass(frozen=True)
class Values:
    """E φ (B,); E φφ, E ψψ and E ff (B, B); their error relative to the largest of the diagonal."""

    mean: Any
    product: Any
    slopes: Any
    argued: Any
    error: float = 0.0


@dataclass(frozen=True)
class Derivatives:
    """E f_i′ψ_j, E f_iψ_j′, E f_i″f_j and E f_i′f_j′ (B, B), and their relative error."""

    bent_left: Any
    bent_right: Any
    curved: Any
    both: Any
    error: float = 0.0


class PairLaw(Protocol):
    """What one kind of activation knows of pairs."""

    def values(self) -> Values:
        """E φφ, E ψψ, E ff."""
        ...

    def derivatives(self) -> Derivatives:
        """The expectations of derivatives."""
        ...


def deviations(covariance: Any, level: float) -> Any:
    """√K_ii, 0 where K_ii is round-off of ``level``."""
    xp = array_namespace(covariance)
    variances = xp.linalg.diagonal(covariance)
    empty = variances <= ROUNDOFF * level
    return xp.where(
        empty, xp.zeros_like(variances), xp.sqrt(xp.where(empty, xp.ones_like(variances), variances))
    )


def inverse(values: Any) -> Any:
    """1/x, and 0 where x = 0."""
    xp = array_namespace(values)
    zero = values == 0
    return xp.where(zero, xp.zeros_like(values), 1 / xp.where(zero, xp.ones_like(values), values))


def correlations(covariance: Any, deviation: Any, level: float) -> Any:
    """ρ, exactly ±1 where K_ii K_jj − K_ij² is round-off of ``level``, and 1 on the diagonal."""
    xp = array_namespace(covariance)
    inverses = inverse(deviation)
    outer = deviation[:, None] * deviation[None, :]
    rho = covariance * (inverses[:, None] * inverses[None, :])
    coincide = (outer - xp.abs(covariance) <= ROUNDOFF * level) & (outer > 0)
    rho = xp.where(coincide, xp.sign(rho), xp.clip(rho, -1.0, 1.0))
    index = xp.arange(deviation.shape[0], device=deviation.device)
    rho[index, index] = 1.0
    return rho


def slope_at(phi: ActivationFunction, shift: float) -> float:
    """φ′(β), the slope of a sample without variance."""
    return float(derivative(phi)(np.asarray([float(shift)]))[0])
