"""All that one activation, batch size, γ, β and ε give, with an error estimate for every number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np

from normfield.theory.depth.fixed_point import Batch, FixedPoint, activations_at, fixed_point, rough_batch
from normfield.theory.depth.rates import Rates, rates
from normfield.theory.depth.response import Unit
from normfield.theory.depth.sphere import ORDERS
from normfield.theory.depth.transition import CollapseTransition, collapse_transition

_ROUNDING = 16 * np.finfo(float).eps
_CONSTANT = 1e-22  # μ*/q*; μ* is computed from φ − Eφ, so that rounding reaches only √ of it

#: "outlier": permutation-symmetric batches collapse, one with an outlying sample does not.
Regime = Literal["normalised", "outlier", "collapsed", "constant"]


@dataclass(frozen=True)
class Layer:
    """What repeats over depth: h = φ(γ·BN_ε(z) + β) over batches of one size, z = Wh + b."""

    unit: Unit
    eps: float
    weight_variance: float


@dataclass(frozen=True)
class PointLimits:
    """The numbers of one layer; ``errors`` has one entry for each of the fixed point and the rates."""

    fixed_point: FixedPoint
    rates: Rates
    residual_exponent: float
    transition: CollapseTransition
    errors: Mapping[str, float]
    regime: Regime
    status: str


def limits_at(layer: Layer) -> PointLimits:
    """Fixed point, rates and transition of a layer, in whichever regime it is."""
    transition = collapse_transition(layer.unit, layer.weight_variance)
    rough = rough_batch(layer.unit, layer.eps, layer.weight_variance)
    fixed, found = _evaluate(layer, rough, ORDERS[0])
    coarse = _evaluate(layer, rough.thinned(), ORDERS[1])
    without_eps = _without_eps(layer) if layer.eps else found
    regime = _regime(layer, fixed, transition)
    if regime == "constant":
        found = without_eps = Rates(*(math.nan for _ in fields(Rates)))
    return PointLimits(
        fixed_point=fixed,
        rates=found,
        residual_exponent=without_eps.explosion_rate,
        transition=transition,
        errors=_errors((fixed, found), coarse),
        regime=regime,
        status=_status(layer, regime),
    )


def _evaluate(layer: Layer, rough: Batch, order: int) -> tuple[FixedPoint, Rates]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        batch, respond = fixed_point(rough, layer.unit, layer.weight_variance, order)
        found = rates(respond, batch, layer.unit, layer.weight_variance)
        return activations_at(batch, respond), found


def _without_eps(layer: Layer) -> Rates:
    return _evaluate(layer, rough_batch(layer.unit, 0.0, layer.weight_variance), ORDERS[0])[1]


def _errors(fine: tuple[FixedPoint, Rates], coarse: tuple[FixedPoint, Rates]) -> dict[str, float]:
    """Distance to the coarser rules, and rounding of φ − Eφ; 0 where a number is infinite."""
    fixed, _ = fine
    noise = math.sqrt(fixed.second_moment / fixed.spread) if fixed.spread > 0 else 0.0
    rounding = _ROUNDING * (1 + noise)
    values, others = (asdict(point) | asdict(found) for point, found in (fine, coarse))
    return {
        name: 0.0 if math.isinf(value) else abs(value - others[name]) + rounding * abs(value)
        for name, value in values.items()
    }


def _regime(layer: Layer, fixed: FixedPoint, transition: CollapseTransition) -> Regime:
    if layer.eps == 0:
        return "normalised" if fixed.spread > _CONSTANT * fixed.second_moment else "constant"
    if fixed.spread > 0:
        return "normalised"
    return "outlier" if layer.eps < transition.outlier else "collapsed"


def _status(layer: Layer, regime: Regime) -> str:
    """Why a number is missing or infinite, or "" where none is."""
    if regime == "constant":
        return "φ(γu + β) is the same for every sample: no difference between samples and no gradient gets through"
    if layer.eps == 0 and layer.unit.batch_size == 2:
        return (
            "with 2 samples and ε = 0 the output is φ(γ + β) and φ(−γ + β) whatever the input, and the gradient is "
            "exactly 0: nothing below the batch norm learns"
        )
    if layer.eps == 0 and layer.unit.batch_size == 3:
        return (
            "with 3 samples and ε = 0 the expected squared gradient is infinite, since batches of almost equal samples "
            "are too frequent: there is no rate"
        )
    return ""
