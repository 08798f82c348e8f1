"""The second reading of a description: a PyTorch module."""

from normfield.nets.building import build

__all__ = ["build"]
