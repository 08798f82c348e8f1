"""The description of a network: frozen data with two readings, theory and a PyTorch module (nets)."""

from normfield.network.activations import ACTIVATIONS, ActivationFunction
from normfield.network.files import read_network
from normfield.network.layers import (
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    Layer,
    LayerNorm,
    Residual,
    RMSNorm,
    Shape,
)
from normfield.network.network import Network
from normfield.network.pooling import AveragePool, GlobalAveragePool, MaxPool
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
    "MaxPool",
    "Network",
    "RMSNorm",
    "Residual",
    "Shape",
    "convnet",
    "mlp",
    "read_network",
]
