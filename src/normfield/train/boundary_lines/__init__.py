"""The learning rate at which training diverges, along an axis."""

from normfield.train.boundary_lines.column import BoundaryColumn
from normfield.train.boundary_lines.line import BoundaryLine
from normfield.train.boundary_lines.search import trace_boundary

__all__ = ["BoundaryColumn", "BoundaryLine", "trace_boundary"]
