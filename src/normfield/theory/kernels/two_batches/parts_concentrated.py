r"""Moments of points normalised by parts, any activation, with every normaliser at its mean.

The formulas of `concentrated` for two points whose statistics come from different sources. With H taking the source's
mean off, Σ = HKHᵀ, T = HΘHᵀ, R_p = tr Σ_{pp} + B_pε a constant for each source p, κ_p = γ√(B_p/R_p) and
J_i = κ_pψ_i(H_i − y_i y_pᵀ/R_p), a point i of source p and j of source q have

    E[J_iΘJ_jᵀ] = κ_pκ_q [T_ij E ψ_iψ_j − E y_iψ_i t_jψ_j/R_p − E ψ_i t_i y_jψ_j/R_q
                          + E y_iψ_i y_jψ_j (y_pᵀT_pq y_q)/(R_pR_q)]

with t_j = (T_jp y_p), t_i = (T_iq y_q). Stein's lemma, with y_i = v_i g_i, f = gψ, as there:

    E y_iψ_i t_jψ_j = (Σ_ip T_pj) E f_i′ψ_j + (Σ_jp T_pj) (v_i/v_j) E f_iψ_j′
    E y_iψ_i y_jψ_j (y_pᵀTy_q) = ⟨T_pq, Σ_pq⟩ v_iv_j E f_if_j + (Σ_ip T_pq Σ_qi)(v_j/v_i) E f_i″f_j
                                + (Σ_jp T_pq Σ_qj)(v_i/v_j) E f_if_j″ + (Σ_ip T_pq Σ_qj + Σ_iq T_qp Σ_pj) E f_i′f_j′.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.network import ActivationFunction
from normfield.theory.kernels.layer.concentrated import participation_ratio
from normfield.theory.kernels.layer.moments import BatchNormalisation, LayerMoments
from normfield.theory.kernels.pair_laws.choice import pair_law
from normfield.theory.kernels.pair_laws.laws import (
    Arguments,
    Derivatives,
    Values,
    correlations,
    deviations,
    inverse,
)
from normfield.theory.kernels.two_batches.blocks import CrossMoments, stacked_blocks
from normfield.theory.kernels.two_batches.parts import Part, apart, centred_by


@dataclass(frozen=True)
class _Constants:
    """Σ, deviations v (N,), and of each part R and B/R."""

    sigma: Any
    deviation: Any
    normalisers: tuple[float, ...]
    gains: tuple[float, ...]

    def gain_of_points(self, parts: Sequence[Part]) -> Any:
        """√(B/R) for every point (N,)."""
        space = array_namespace(self.deviation)
        ones = space.ones_like(self.deviation)
        return space.concat([ones[part.points] * g**0.5 for part, g in zip(parts, self.gains, strict=True)])


def parts_concentrated(
    nngp: Any, ntk: Any | None, parts: Sequence[Part], norm: BatchNormalisation, phi: ActivationFunction
) -> LayerMoments:
    """Moments of φ(γu + β) at points normalised by parts, with every normaliser at its mean.

    Parameters
    ----------
    nngp : array
        K (N, N).
    ntk : array, optional
        Θ (N, N); without it nothing is pulled.
    parts
        Whose statistics each point takes, in order.
    norm, phi
        γ, β, ε and the activation's row.

    Raises
    ------
    InvalidInput
        If samples of a source do not differ and ε = 0.
    """
    found = _constants(nngp, parts, norm.eps)
    space, gain = array_namespace(nngp), found.gain_of_points(parts)
    rho = correlations(found.sigma, found.deviation, float(space.max(space.abs(nngp))))
    law = pair_law(phi, Arguments(rho, norm.gamma * gain * found.deviation, norm.beta))
    values = law.values()
    scaled = gain * found.deviation
    pulled, error = None, values.error
    if ntk is not None:
        bent = law.derivatives()
        pulled = norm.gamma**2 * _pulled(centred_by(ntk, parts), parts, found, values, bent)
        ratio = min(participation_ratio(nngp[part.source, part.source]) for part in parts)
        error = max(error, bent.error / max(ratio, 1.0) ** 0.5)
    return LayerMoments(
        second=values.product,
        pulled=pulled,
        by_scale=values.argued * (scaled[:, None] * scaled[None, :]),
        by_shift=values.slopes,
        mean=values.mean,
        error=error,
    )


def cross_concentrated(
    nngp_11: Any,
    nngp_12: Any,
    nngp_22: Any,
    ntk_12: Any | None,
    norm: BatchNormalisation,
    phi: ActivationFunction,
) -> CrossMoments:
    """Moments between two batches, each normalised with its own statistics, with both normalisers at their means.

    Parameters
    ----------
    nngp_11, nngp_12, nngp_22, ntk_12 : array
        As in `cross_moments`.
    norm, phi
        γ, β, ε and the activation's row: any.

    Raises
    ------
    InvalidInput
        If samples of a batch do not differ and ε = 0.
    """
    first = nngp_12.shape[0]
    nngp = stacked_blocks(nngp_11, nngp_12, nngp_22)
    ntk = None if ntk_12 is None else stacked_blocks(0 * nngp_11, ntk_12, 0 * nngp_22)
    joint = parts_concentrated(nngp, ntk, apart(first, nngp.shape[0]), norm, phi)
    return CrossMoments.block(joint, first)


def _constants(nngp: Any, parts: Sequence[Part], eps: float) -> _Constants:
    space = array_namespace(nngp)
    sigma = centred_by(nngp, parts)
    deviation = deviations(sigma, float(space.max(space.abs(nngp))))
    normalisers = tuple(float(space.sum(deviation[part.source] ** 2)) + part.size * eps for part in parts)
    if not min(normalisers) > 0:
        raise InvalidInput(
            expected="samples that differ, since batch norm divides by their variance",
            got="a batch of constant features with eps = 0",
            instead="remove the constant features or give eps > 0",
        )
    gains = tuple(part.size / R for part, R in zip(parts, normalisers, strict=True))
    return _Constants(sigma, deviation, normalisers, gains)


def _pulled(tangent: Any, parts: Sequence[Part], own: _Constants, values: Values, bent: Derivatives) -> Any:
    """E[J Θ Jᵀ]/γ² (N, N), block by block."""
    space = array_namespace(tangent)
    rows = [
        space.concat([_block(tangent, parts, p, q, own, values, bent) for q in range(len(parts))], axis=1)
        for p in range(len(parts))
    ]
    total = space.concat(rows, axis=0)
    return (total + total.T) / 2


def _block(
    tangent: Any, parts: Sequence[Part], p: int, q: int, own: _Constants, values: Values, bent: Derivatives
) -> Any:
    """Points of part p with those of part q."""
    space = array_namespace(tangent)
    i, j, P, Q = parts[p].points, parts[q].points, parts[p].source, parts[q].source
    (R_p, R_q), (g_p, g_q) = ((all_[p], all_[q]) for all_ in (own.normalisers, own.gains))
    sigma, v = own.sigma, own.deviation
    ahead, behind = v[i, None] * inverse(v[j])[None, :], inverse(v[i])[:, None] * v[None, j]
    left, right = sigma[i, P] @ tangent[P, j], tangent[i, Q] @ sigma[Q, j]
    total = tangent[i, j] * values.slopes[i, j]
    total = total - left * bent.bent_left[i, j] / R_p - right * bent.bent_left[j, i].T / R_q
    total = total - _rows_dot(sigma[j, P], tangent[P, j].T)[None, :] * ahead * bent.bent_right[i, j] / R_p
    total = total - _rows_dot(tangent[i, Q], sigma[i, Q])[:, None] * behind * bent.bent_right[j, i].T / R_q
    inner = tangent[P, Q]
    square = float(space.sum(inner * sigma[P, Q])) * (v[i, None] * v[None, j]) * values.argued[i, j]
    square = square + _rows_dot(sigma[i, P] @ inner, sigma[i, Q])[:, None] * behind * bent.curved[i, j]
    square = square + _rows_dot(sigma[j, P] @ inner, sigma[j, Q])[None, :] * ahead * bent.curved[j, i].T
    both = sigma[i, P] @ inner @ sigma[Q, j] + sigma[i, Q] @ inner.T @ sigma[P, j]
    return (g_p * g_q) ** 0.5 * (total + (square + both * bent.both[i, j]) / (R_p * R_q))


def _rows_dot(left: Any, right: Any) -> Any:
    """Σ_k left_ik right_ik."""
    return array_namespace(left).sum(left * right, axis=1)
