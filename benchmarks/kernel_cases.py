"""The networks, batches and calls that the kernels' benchmarks measure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import normfield as nf
from normfield.network import Network

INPUTS = 784


def network(depth: int = 4, activation: str = "relu", batch_norm: bool = True) -> Network:
    """784 – 1000 – … – 10 with σ_w² = 2, σ_b² = ½; γ = 1 where there is batch norm."""
    return nf.mlp(INPUTS, 1000, depth, 10, batch_norm=batch_norm, activation=activation)


def batch(samples: int) -> np.ndarray:
    """x ~ N(0, 1), (samples, 784)."""
    return np.random.default_rng(0).standard_normal((samples, INPUTS))


def uneven_batch(samples: int) -> np.ndarray:
    """Normal inputs whose variances fall like 1/k², as an image's principal components do: harder to integrate."""
    return batch(samples) / np.arange(1, INPUTS + 1)


def exact(samples: int, depth: int = 4, uneven: bool = False) -> Callable[[], nf.BatchKernel]:
    """The call that gives both kernels."""
    net, x = network(depth), uneven_batch(samples) if uneven else batch(samples)
    return lambda: nf.batch_kernel(net, x, method="exact")


def product(samples: int) -> Callable[[], np.ndarray]:
    """One float64 product of two matrices (samples, samples): the yardstick of the machine."""
    generator = np.random.default_rng(1)
    left, right = (generator.standard_normal((samples, samples)) for _ in range(2))
    return lambda: left @ right
