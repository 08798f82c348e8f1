"""How a normalised layer's moments are computed at a batch and further points, and whose statistics these take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.network import ActivationFunction
from normfield.theory.kernels.layer.concentrated import participation_ratio
from normfield.theory.kernels.layer.homogeneous import homogeneous_moments
from normfield.theory.kernels.layer.moments import BatchNormalisation, LayerMoments
from normfield.theory.kernels.pair_laws.laws import slope_at
from normfield.theory.kernels.two_batches.blocks import stacked_blocks
from normfield.theory.kernels.two_batches.borrowed import borrowed_moments
from normfield.theory.kernels.two_batches.cross_batch import cross_moments
from normfield.theory.kernels.two_batches.parts import Part, apart, borrowing
from normfield.theory.kernels.two_batches.parts_concentrated import parts_concentrated
from normfield.theory.kernels.two_batches.parts_sampled import parts_sampled
from normfield.theory.kernels.walk.ways import Used, Ways, not_exact

STATISTICS = ("batch", "population")


@dataclass(frozen=True)
class JointNormalisation:
    """Batch norm on a batch and further samples, called as `rules.Normalise`.

    Attributes
    ----------
    statistics : {"batch", "population"}
        Whether the further samples are a batch with statistics of its own, or borrow those of the first.
    first, samples : int
        Samples of the batch, and of both together.
    with_tangent : bool
        Whether Θ is wanted; without it what flows through stays 0.
    """

    statistics: str
    first: int
    samples: int
    with_tangent: bool = True

    def __call__(
        self,
        nngp: Any,
        ntk: Any | None,
        norm: BatchNormalisation,
        phi: ActivationFunction,
        ways: Ways,
        name: str,
        on_image: bool,
    ) -> tuple[LayerMoments, Used]:
        """The moments at all points; see `ways.batch_normalised`."""
        method = _method(norm, phi, ways, name, on_image)
        tangent = ntk if self.with_tangent else None
        parts = self._parts(nngp.shape[0])
        directions = math.inf
        if method == "exact":
            found = self._exact(nngp, tangent, parts, norm, phi, ways.tolerance)
        elif method == "monte_carlo":
            _require_finite_draws(nngp, parts, norm)
            found = parts_sampled(nngp, tangent, parts, norm, phi, ways.samples, ways.seed)
        else:
            found = parts_concentrated(nngp, tangent, parts, norm, phi)
            directions = min(participation_ratio(nngp[part.source, part.source]) for part in parts)
        return _whole(found, nngp, self.with_tangent), Used(name, method, directions)

    def _parts(self, points: int) -> Sequence[Part]:
        """Points are samples, or samples × positions."""
        first = points // self.samples * self.first
        return apart(first, points) if self.statistics == "batch" else borrowing(first, points)

    def _exact(
        self,
        nngp: Any,
        ntk: Any | None,
        parts: Sequence[Part],
        norm: BatchNormalisation,
        phi: ActivationFunction,
        tolerance: float,
    ) -> LayerMoments:
        assert phi.homogeneous is not None
        known = (norm, *phi.homogeneous, tolerance, slope_at(phi, 0.0))
        if self.statistics == "population":
            return borrowed_moments(nngp, ntk, parts[0].size, *known)
        return _exact_apart(nngp, ntk, parts, known)


def _method(norm: BatchNormalisation, phi: ActivationFunction, ways: Ways, name: str, on_image: bool) -> str:
    reason = not_exact(norm, phi)
    if ways.method == "exact" and reason:
        raise InvalidInput(
            expected='φ(x) = c₁x + c₂|x| and β = 0 for method="exact"',
            got=f"{reason} at layer {name}",
            instead='use method="concentrated", "monte_carlo" or "auto"',
        )
    if ways.method != "auto":
        return ways.method
    return "concentrated" if reason or on_image else "exact"


def _exact_apart(
    nngp: Any,
    ntk: Any | None,
    parts: Sequence[Part],
    known: tuple[BatchNormalisation, float, float, float, float],
) -> LayerMoments:
    """Each batch by itself, and between them; known are the norm, c₁, c₂, the tolerance and φ′(0)."""
    space = array_namespace(nngp)
    i, j = (part.points for part in parts)
    own = [homogeneous_moments(nngp[k, k], None if ntk is None else ntk[k, k], *known) for k in (i, j)]
    between = cross_moments(nngp[i, i], nngp[i, j], nngp[j, j], None if ntk is None else ntk[i, j], *known)
    kinds = (
        ("second", "by_scale", "by_shift") if ntk is None else ("second", "by_scale", "by_shift", "pulled")
    )
    whole = {
        kind: stacked_blocks(getattr(own[0], kind), getattr(between, kind), getattr(own[1], kind))
        for kind in kinds
    }
    statuses = [each.status for each in (*own, between) if each.status]
    return LayerMoments(
        second=whole["second"],
        pulled=whole.get("pulled"),
        by_scale=whole["by_scale"],
        by_shift=whole["by_shift"],
        mean=space.concat([each.mean for each in own]),
        error=max(each.error for each in (*own, between)),
        status=statuses[0] if statuses else "",
    )


def _require_finite_draws(nngp: Any, parts: Sequence[Part], norm: BatchNormalisation) -> None:
    """Refuse Monte Carlo where the mean may be infinite, which draws do not show."""
    if norm.eps == 0 and min(participation_ratio(nngp[part.source, part.source]) for part in parts) < 2.5:
        raise InvalidInput(
            expected="eps > 0, or batches with variance in more than two directions, for Monte Carlo",
            got="eps = 0 and fewer, where gradients have infinite moments",
            instead="give eps > 0",
        )


def _whole(found: LayerMoments, nngp: Any, with_tangent: bool) -> LayerMoments:
    """With what is pulled filled in where no Θ, or an infinite one, went in."""
    if found.pulled is not None:
        return found
    pulled = nngp * 0 if not with_tangent else nngp * 0 + math.inf
    return LayerMoments(
        found.second, pulled, found.by_scale, found.by_shift, found.mean, found.error, found.status
    )
