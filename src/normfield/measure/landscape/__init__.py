"""The loss along its gradient, and what batch norm does to gradient and curvature at its own place [Santurkar].

[Santurkar] is Santurkar, Tsipras, Ilyas and Madry, "How does batch normalization help optimization?", NeurIPS 2018;
[Bjorck] is Bjorck, Gomes, Selman and Weinberger, "Understanding batch normalization", NeurIPS 2018.
"""

from normfield.measure.landscape.along_direction import landscape
from normfield.measure.landscape.inequality import gradient_inequality
from normfield.measure.landscape.inequality_result import GradientInequality, LayerInequality
from normfield.measure.landscape.landscape_result import Landscape

__all__ = ["GradientInequality", "Landscape", "LayerInequality", "gradient_inequality", "landscape"]
