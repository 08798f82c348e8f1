"""Weights whose length the loss does not feel, and what then counts: their directions."""

from normfield.measure.invariance.direction_result import (
    DirectionChange,
    LengthDirection,
    WeightChange,
    WeightDirection,
)
from normfield.measure.invariance.directions import length_direction
from normfield.measure.invariance.scaling import scale_invariance
from normfield.measure.invariance.scaling_result import ScaledWeight, ScaleInvariance

__all__ = [
    "DirectionChange",
    "LengthDirection",
    "ScaleInvariance",
    "ScaledWeight",
    "WeightChange",
    "WeightDirection",
    "length_direction",
    "scale_invariance",
]
