"""Depth limits of batch-normalised networks: fixed points of one batch, and how fast gradients grow about them."""

from normfield.theory.depth.fixed_point import FixedPoint
from normfield.theory.depth.limits import depth_limits
from normfield.theory.depth.limits_result import DepthLimits
from normfield.theory.depth.transition import CollapseTransition

__all__ = ["CollapseTransition", "DepthLimits", "FixedPoint", "depth_limits"]
