r"""Moments of a layer with batch norm, any activation, with the normaliser at its mean.

Over many directions of variance r² = ‖y‖² hardly fluctuates: relative to its mean tr Σ by √(2/ratio), where
ratio = (tr Σ)²/tr Σ² is the participation ratio. With R = tr Σ + Bε a constant, y ~ N(0, Σ), Σ = GKG, κ = γ√(B/R):

    h = φ(κy + β),   J = diag(φ′)κ(G − yyᵀ/R).

With T = GΘG, C = TΣ, D = ΣTΣ, q_i = √Σ_ii, y_i = q_i g_i, ψ = φ′, f = gψ, and t = Ty, whose covariance with g_j is
C_ij/q_j, Gaussian integration by parts (Stein) makes of

    E[J Θ Jᵀ] = κ²[T∘E ψψᵀ − (T₂ + T₂ᵀ)/R + T₃/R²]
    (T₂)_ij = E ψ_i t_i y_jψ_j       = C_ij E ψ_i f_j′ + C_ii (q_j/q_i) E ψ_i′f_j
    (T₃)_ij = E y_iψ_i y_jψ_j yᵀTy = tr(TΣ) q_i q_j E f_if_j + D_ii (q_j/q_i) E f_i″f_j + D_jj (q_i/q_j) E f_if_j″
                                    + 2D_ij E f_i′f_j′,

and in the same way of its adjoint

    E[Jᵀ Π J] = κ²[G(Π∘E ψψᵀ)G − (ZG + GZᵀ)/R + (ΣE Q + ΣHΣ)/R²]
    Z = Σ(Π∘E f_i′ψ_j) + Σ diag_j(Σ_i q_iΠ_ij E f_iψ_j′ / q_j)
    E Q = qᵀ(Π∘E ffᵀ)q,   H = 2Π∘E f′f′ᵀ + 2 diag_i(Σ_j Π_ij q_j E f_i″f_j / q_i).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.network import ActivationFunction
from normfield.theory.kernels.layer.centred import centre, centred_covariance
from normfield.theory.kernels.layer.diverging import divergence
from normfield.theory.kernels.layer.moments import BatchNormalisation, LayerMoments
from normfield.theory.kernels.pair_laws.choice import pair_law
from normfield.theory.kernels.pair_laws.laws import (
    Arguments,
    Derivatives,
    PairLaw,
    Values,
    correlations,
    deviations,
    inverse,
)

#: Participation ratio below which the normaliser is doubtful as a constant. Measured with ReLU against the exact
#: integrals on 72 random covariances (B = 32 to 256, flat to steep spectra), in multiples of 1/ratio: entries of
#: E[h hᵀ] are off by at most 2.5, E[J Θ Jᵀ] by 1.9 to 2.6 for ratios above 10 (E[R] E[1/R] ≈ 1 + 2/ratio), the top
#: eigenvalue of the whole tangent kernel by 0.6. At 50 these are 5 % and 1 %.
DOUBTFUL = 50.0
_EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class _Surrogate:
    """Σ with its deviations q, the constant R and κ² = γ²B/R, and the pair law."""

    sigma: Any
    deviation: Any
    normaliser: float
    gain: float
    law: PairLaw

    @property
    def outer(self) -> Any:
        """q_i q_j."""
        return self.deviation[:, None] * self.deviation[None, :]


def participation_ratio(nngp: Any) -> float:
    """(tr Σ)²/tr Σ² of Σ = GKG: over how many directions the batch's variance is spread (0 where there is none)."""
    xp = array_namespace(nngp)
    sigma = centre(nngp)
    trace = float(xp.sum(xp.linalg.diagonal(sigma)))
    if trace <= 32 * _EPSILON * nngp.shape[0] * float(xp.max(xp.abs(nngp))):
        return 0.0
    sigma /= trace
    sigma *= sigma
    return 1 / float(xp.sum(sigma))


def concentrated_moments(
    nngp: Any, ntk: Any | None, norm: BatchNormalisation, phi: ActivationFunction
) -> LayerMoments:
    """Moments of φ(γu + β) with the normaliser at its mean; any φ, any β.

    Parameters
    ----------
    nngp : array
        K (B, B).
    ntk : array, optional
        Θ (B, B); without it nothing is pulled.
    norm
        γ, β and ε of the batch norm.
    phi
        The activation's row.

    Returns
    -------
    LayerMoments
        ``error`` is that of the expectations, not of taking the normaliser as constant: see `participation_ratio`.
        At ε = 0 and rank(Σ) ≤ 2 the true ``pulled`` is infinite; so it is here, and ``status`` says so.

    Raises
    ------
    InvalidInput
        If samples do not differ and ε = 0.
    """
    own = _surrogate(nngp, norm, phi)
    found = own.law.values()
    pulled, error, status = None, found.error, ""
    if ntk is not None:
        ratio = participation_ratio(nngp)
        status = divergence(centred_covariance(nngp, 0.0)) if norm.eps == 0 and ratio < 2.5 else ""
        bent = own.law.derivatives()
        pulled = found.slopes * 0 + math.inf if status else _pulled(own, centre(ntk), found, bent)
        error = max(error, bent.error / max(ratio, 1.0) ** 0.5)
    return LayerMoments(
        second=found.product,
        pulled=pulled,
        by_scale=found.argued * own.outer * (nngp.shape[0] / own.normaliser),
        by_shift=found.slopes,
        mean=found.mean,
        error=error,
        status=status,
    )


def concentrated_pull_back(nngp: Any, pi: Any, norm: BatchNormalisation, phi: ActivationFunction) -> Any:
    """E[Jᵀ Π J], the adjoint of Θ ↦ E[J Θ Jᵀ]; arguments as in `concentrated_moments`."""
    xp = array_namespace(nngp)
    own = _surrogate(nngp, norm, phi)
    found, bent = own.law.values(), own.law.derivatives()
    q, inverses, sigma = own.deviation, inverse(own.deviation), own.sigma
    crossed = pi * bent.bent_left + _diagonal(inverses * (q @ (pi * bent.bent_right)))
    crossed = sigma @ crossed
    crossed = crossed - xp.mean(crossed, axis=1, keepdims=True)
    square = float(q @ (pi * found.argued) @ q)
    hessian = 2 * pi * bent.both + _diagonal(2 * inverses * ((pi * bent.curved) @ q))
    total = centre(pi * found.slopes) - (crossed + crossed.T) / own.normaliser
    total = total + (square * sigma + sigma @ hessian @ sigma) / own.normaliser**2
    return own.gain * (total + total.T) / 2


def _surrogate(nngp: Any, norm: BatchNormalisation, phi: ActivationFunction) -> _Surrogate:
    xp = array_namespace(nngp)
    size, sigma = nngp.shape[0], centre(nngp)
    level = float(xp.max(xp.abs(nngp)))
    deviation = deviations(sigma, level)
    normaliser = float(xp.sum(deviation**2)) + size * norm.eps
    if not normaliser > 0:
        raise InvalidInput(
            expected="samples that differ, since batch norm divides by their variance",
            got="a batch of constant features with eps = 0",
            instead="remove the constant features or give eps > 0",
        )
    gain = size / normaliser
    rho = correlations(sigma, deviation, level)
    law = pair_law(phi, Arguments(rho, norm.gamma * gain**0.5 * deviation, norm.beta))
    return _Surrogate(sigma, deviation, normaliser, norm.gamma**2 * gain, law)


def _pulled(own: _Surrogate, tangent: Any, found: Values, bent: Derivatives) -> Any:
    xp = array_namespace(tangent)
    q, inverses, R = own.deviation, inverse(own.deviation), own.normaliser
    c = tangent @ own.sigma
    d = own.sigma @ c
    diagonal = xp.linalg.diagonal
    second = c * bent.bent_left.T + (diagonal(c) * inverses)[:, None] * q[None, :] * bent.bent_right.T
    third = (diagonal(d) * inverses)[:, None] * q[None, :] * bent.curved + d * bent.both
    third = third + third.T + float(xp.sum(diagonal(c))) * own.outer * found.argued
    total = tangent * found.slopes - (second + second.T) / R + third / R**2
    return own.gain * (total + total.T) / 2


def _diagonal(values: Any) -> Any:
    xp = array_namespace(values)
    return xp.eye(values.shape[0], dtype=values.dtype, device=values.device) * values[None, :]
