"""Many points: the bracket of a boundary."""

from normfield.sweep.boundary import Bracket

__all__ = ["Bracket"]
