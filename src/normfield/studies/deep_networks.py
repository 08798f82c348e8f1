"""Deep networks of equal layers with batch norm, drawn at initialisation, and how their gradients grow by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from normfield.measure.signals import signals
from normfield.nets import build
from normfield.network import Activation, BatchNorm, Dense, Network, Residual, mlp

#: Theory has ε = 0; torch takes no 0, and this far below the variance of pre-activations it changes no digit shown.
NO_EPS = 1e-8
OUTPUTS = 10
#: Layers whose ratio is left out: a quarter in front, until the forward pass is at its fixed point, and two at the end,
#: until the backward pass is.
_FRONT_SHARE, _BACK = 4, 2


@dataclass(frozen=True)
class Estimate:
    """A mean over networks and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Estimate:
        """Of one value for each network, two at least."""
        found = np.asarray(values, dtype=float)
        return cls(float(found.mean()), float(found.std(ddof=1) / math.sqrt(len(found))))


def seeds(seed: int, cell: str, networks: int) -> list[int]:
    """A seed for each network of a cell of a table, other ones in every cell."""
    state = np.random.SeedSequence([seed, *cell.encode()]).generate_state(networks, np.uint32)
    return [int(one) for one in state]


def normal(shape: tuple[int, ...], seed: int) -> Tensor:
    """Independent standard normal numbers; apart from those that weights of the same seed are drawn from."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2**32 + seed))


def plain_chain(
    activation: str,
    layers: int,
    width: int,
    *,
    gamma: float = 1.0,
    beta: float = 0.0,
    eps: float = NO_EPS,
) -> Network:
    """So many layers h ← φ(γ·BN(Wh) + β) and a linear head, σ_w² = 1 (it matters only beside ε), biases 0."""
    return mlp(
        width, width, layers + 1, OUTPUTS, True, gamma, activation, 1.0, 0.0, beta=beta, eps=max(eps, NO_EPS)
    )


def residual_chain(activation: str, blocks: int, width: int) -> Network:
    """So many blocks x ← x + Wφ(BN(x)) between a linear layer and a batch-normed head, σ_w² = 1."""
    norm = BatchNorm(eps=NO_EPS)
    block = Residual((norm, Activation(activation), Dense(width)))
    layers = (Dense(width), *[block] * blocks, norm, Dense(OUTPUTS))
    return Network((width,), layers, weight_variance=1.0, bias_variance=0.0)


def squared_gradients(network: Network, batch_size: int, seed: int) -> np.ndarray:
    """‖∂ℓ/∂z^l‖² behind every affine layer but the last (layers,), ℓ a random linear functional of the outputs.

    A linear functional hands every sample and output an independent normal gradient, as the theory assumes.
    """
    width = network.input_shape[0]
    drawn = normal((batch_size, width + OUTPUTS), seed)
    batch = (drawn[:, :width].contiguous(), drawn[:, width:].contiguous())
    found = signals(build(network, seed), batch, _functional)
    return np.array([layer.gradient**2 for layer in found.layers[:-1]])


def _functional(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs * targets).sum()


def stationary(layers: int) -> slice:
    """Which of so many layers' gradients are neither near the inputs nor near the outputs."""
    return slice(max(1, layers // _FRONT_SHARE), layers - _BACK)


def growth_by_network(gradients: np.ndarray) -> np.ndarray:
    """(networks, layers) → for each network the mean ratio of a stationary layer's squared gradient to the next one's.

    Given all that lies behind it, each ratio has mean λ_G at infinite width, so that their mean has no bias from
    taking logarithms; neighbouring ratios are taken together, since only networks are independent.
    """
    inner = gradients[:, stationary(gradients.shape[1])]
    return (inner[:, :-1] / inner[:, 1:]).mean(axis=1)
