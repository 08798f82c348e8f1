"""The description of a network: frozen data with two readings, theory and a PyTorch module (nets)."""

from normfield.network.activations import ACTIVATIONS, ActivationFunction
from normfield.network.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAveragePool,
    Layer,
    LayerNorm,
    Residual,
    RMSNorm,
    Shape,
)
from normfield.network.network import Network
from normfield.network.shorthand import convnet, mlp

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "ActivationFunction",
    "AveragePool",
    "BatchNorm",
    "Conv",
    "Dense",
    "Flatten",
    "GlobalAveragePool",
    "Layer",
    "LayerNorm",
    "Network",
    "RMSNorm",
    "Residual",
    "Shape",
    "convnet",
    "mlp",
]
