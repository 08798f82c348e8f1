"""Where a search begins: the measured η* of the module at its initial weights, or what the user gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.errors import NormfieldError
from normfield.measure import Curvature, curvature
from normfield.samples import count
from normfield.train.evaluation import training_mode
from normfield.train.prepared import Prepared

_WITHOUT = 0.1


@dataclass(frozen=True)
class Care:
    """How closely λ_max is measured: on how many batches, by which method of `curvature`, and for how many products.

    Where the products do not suffice for the tolerance, what was found by then is taken.
    """

    batches: int
    tolerance: float
    method: str = "auto"
    most_products: int | None = None


CLOSELY = Care(batches=4, tolerance=1e-2)
ROUGHLY = Care(batches=1, tolerance=0.1, method="lanczos", most_products=8)
"""Enough to begin at."""


@dataclass(frozen=True)
class Reference:
    """The η* that boundaries are compared with (None where there is none), how it was found, and log₁₀ of the start.

    ``products`` counts the products of a batch's matrix with a vector that were made for it.
    """

    learning_rate: float | None
    source: str
    start: float
    products: int = 0


def given_reference(start: float) -> Reference:
    """The user's own first guess of η*."""
    return Reference(start, "as given", math.log10(start))


def measured_reference(
    model: nn.Module, prepared: Prepared, loss: object, momentum: float, care: Care = CLOSELY
) -> Reference:
    """η* = 2(1+μ)/λ_max of the first batches, or none with the reason."""
    first = list(prepared.evaluation[: care.batches])
    statistics = _statistics(model)
    if statistics is None:
        return Reference(
            None, "not measured: some batch norms are in eval mode, others not", math.log10(_WITHOUT)
        )
    try:
        found = _measured(model, first, loss, statistics, care)
    except (NormfieldError, RuntimeError) as error:
        return Reference(None, f"not measured: {' '.join(str(error).split())}", math.log10(_WITHOUT))
    learning_rate = found.max_learning_rate(momentum)
    if not 0 < learning_rate < math.inf:
        return Reference(None, "not measured: no positive curvature", math.log10(_WITHOUT))
    samples = sum(count(inputs) for inputs, _ in first)
    source = f"measured {'' if found.is_converged else 'roughly '}on {samples:,} samples"
    return Reference(learning_rate, source, math.log10(learning_rate), found.products * len(first))


def _statistics(model: nn.Module) -> Literal["batch", "running"] | None:
    """Those by which the model's batch norms normalise as it trains; None where not all do alike."""
    with training_mode(model):
        modes = {layer.training for layer in model.modules() if isinstance(layer, _BatchNorm)}
    if len(modes) > 1:
        return None
    return "running" if modes == {False} else "batch"


def _measured(
    model: nn.Module, batches: list, loss: object, statistics: Literal["batch", "running"], care: Care
) -> Curvature:
    """λ_max of the generalised Gauss–Newton matrix: the Fisher matrix of both named losses."""
    return curvature(
        model,
        batches,
        loss,
        kind="ggn",
        statistics=statistics,
        tolerance=care.tolerance,
        method=care.method,
        max_products=care.most_products,
        on_failure="raise" if care.most_products is None else "return",
    )
