"""Where a search begins: the measured η* of the module at its initial weights, or what the user gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from normfield.errors import NormfieldError
from normfield.measure import curvature
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
    try:
        learning_rate = _measured_start(model, batches, loss, momentum)
    except (NormfieldError, RuntimeError) as error:
        return Reference(None, f"not measured: {' '.join(str(error).split())}", math.log10(_WITHOUT))
    if not 0 < learning_rate < math.inf:
        return Reference(None, "not measured: no positive curvature", math.log10(_WITHOUT))
    samples = sum(len(inputs) for inputs, _ in batches)
    return Reference(learning_rate, f"measured on {samples:,} samples", math.log10(learning_rate))


def _measured_start(model: nn.Module, batches: list, loss: object, momentum: float) -> float:
    """2(1+μ)/λ_max of the generalised Gauss–Newton matrix: the Fisher matrix of both named losses."""
    found = curvature(model, batches, loss, kind="ggn", statistics="batch", tolerance=_TOLERANCE)
    return found.max_learning_rate(momentum)
