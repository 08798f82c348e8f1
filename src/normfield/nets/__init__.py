"""The second reading of a description: a PyTorch module, and the way back from one."""

from normfield.nets.building import build
from normfield.nets.description import DescribedLayer, Description
from normfield.nets.examining import describe, examine
from normfield.nets.starting_gamma import init_gamma_

__all__ = ["DescribedLayer", "Description", "build", "describe", "examine", "init_gamma_"]
