"""Where a search begins: the measured η* of the module at its initial weights, or what the user gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.errors import NormfieldError
from normfield.measure import curvature
from normfield.samples import count
from normfield.train.evaluation import training_mode
from normfield.train.prepared import Prepared

_BATCHES = 4
_TOLERANCE = 1e-2
_WITHOUT = 0.1


@dataclass(frozen=True)
class Reference:
    """The η* that boundaries are compared with (None where there is none), how it was found, and log₁₀ of the start."""

    learning_rate: float | None
    source: str
    start: float


def given_reference(start: float) -> Reference:
    """The user's own first guess of η*."""
    return Reference(start, "as given", math.log10(start))


def measured_reference(model: nn.Module, prepared: Prepared, loss: object, momentum: float) -> Reference:
    """η* = 2(1+μ)/λ_max of the first batches, or none with the reason."""
    batches = list(prepared.evaluation[:_BATCHES])
    statistics = _statistics(model)
    if statistics is None:
        return Reference(
            None, "not measured: some batch norms are in eval mode, others not", math.log10(_WITHOUT)
        )
    try:
        learning_rate = _measured_start(model, batches, loss, momentum, statistics)
    except (NormfieldError, RuntimeError) as error:
        return Reference(None, f"not measured: {' '.join(str(error).split())}", math.log10(_WITHOUT))
    if not 0 < learning_rate < math.inf:
        return Reference(None, "not measured: no positive curvature", math.log10(_WITHOUT))
    samples = sum(count(inputs) for inputs, _ in batches)
    return Reference(learning_rate, f"measured on {samples:,} samples", math.log10(learning_rate))


def _statistics(model: nn.Module) -> Literal["batch", "running"] | None:
    """Those by which the model's batch norms normalise as it trains; None where not all do alike."""
    with training_mode(model):
        modes = {layer.training for layer in model.modules() if isinstance(layer, _BatchNorm)}
    if len(modes) > 1:
        return None
    return "running" if modes == {False} else "batch"


def _measured_start(
    model: nn.Module, batches: list, loss: object, momentum: float, statistics: Literal["batch", "running"]
) -> float:
    """2(1+μ)/λ_max of the generalised Gauss–Newton matrix: the Fisher matrix of both named losses."""
    found = curvature(model, batches, loss, kind="ggn", statistics=statistics, tolerance=_TOLERANCE)
    return found.max_learning_rate(momentum)
