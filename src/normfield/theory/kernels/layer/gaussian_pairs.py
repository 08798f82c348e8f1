r"""Moments of an activation without batch norm: φ of z ~ N(0, K), samples of different variances.

    E[h hᵀ] = E φφᵀ,   E[J Θ Jᵀ] = E[φ′φ′ᵀ] ∘ Θ,   E[Jᵀ Π J] = E[φ′φ′ᵀ] ∘ Π      (J = diag φ′)

With a per-sample norm's γ and β, whose statistics are constants at infinite width, φ(γz + β) takes the place of φ(z).
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from normfield.network import ActivationFunction
from normfield.theory.kernels.layer.moments import BatchNormalisation, LayerMoments
from normfield.theory.kernels.layer.plain_arcs import arc_moments
from normfield.theory.kernels.pair_laws.choice import pair_law
from normfield.theory.kernels.pair_laws.laws import Arguments, correlations, deviations

_NONE = BatchNormalisation(gamma=1.0, beta=0.0, eps=0.0)


def plain_moments(
    nngp: Any, ntk: Any | None, phi: ActivationFunction, norm: BatchNormalisation | None = None
) -> LayerMoments:
    """Moments of φ(γz + β), z ~ N(0, K), by closed forms or series in the correlation.

    Parameters
    ----------
    nngp : array
        K (B, B).
    ntk : array, optional
        Θ (B, B); without it nothing is pulled.
    phi
        The activation's row.
    norm : optional
        γ and β of a per-sample norm whose division K has already undergone; γ = 1, β = 0 without.

    Returns
    -------
    LayerMoments
        ``pulled`` = γ²E[φ′φ′ᵀ]∘Θ, ``by_scale`` = E[φ′φ′ᵀ∘zzᵀ] (zeros without a norm), ``by_shift`` = E[φ′φ′ᵀ].
    """
    if norm is None and phi.homogeneous is not None:
        alone = deviations(nngp, 0.0)
        if bool(array_namespace(nngp).all(alone > 0)):
            return arc_moments(nngp, ntk, alone, *phi.homogeneous)
    own = norm or _NONE
    deviation, law = _law(nngp, phi, own)
    found = law.values()
    outer = deviation[:, None] * deviation[None, :]
    return LayerMoments(
        second=found.product,
        pulled=None if ntk is None else own.gamma**2 * found.slopes * ntk,
        by_scale=found.argued * outer if norm else array_namespace(nngp).zeros_like(nngp),
        by_shift=found.slopes,
        mean=found.mean,
        error=found.error,
    )


def plain_pull_back(
    nngp: Any, pi: Any, phi: ActivationFunction, norm: BatchNormalisation | None = None
) -> Any:
    """E[Jᵀ Π J] = γ²E[φ′φ′ᵀ]∘Π, arguments as in `plain_moments`."""
    own = norm or _NONE
    return own.gamma**2 * _law(nngp, phi, own)[1].values().slopes * pi


def _law(nngp: Any, phi: ActivationFunction, norm: BatchNormalisation) -> tuple[Any, Any]:
    deviation = deviations(nngp, 0.0)
    level = float(array_namespace(nngp).max(deviation)) ** 2
    rho = correlations(nngp, deviation, level)
    return deviation, pair_law(phi, Arguments(rho, norm.gamma * deviation, norm.beta))
