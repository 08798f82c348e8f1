"""The two networks everyone starts from, in one call each."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from normfield.errors import InvalidInput
from normfield.network.activations import ActivationFunction
from normfield.network.checks import whole_number
from normfield.network.layers import Activation, BatchNorm, Conv, Dense, Flatten, Layer
from normfield.network.network import Network
from normfield.network.pooling import GlobalAveragePool

Phi = str | ActivationFunction | Callable[[Any], Any]


def mlp(
    inputs: int,
    width: int | Sequence[int],
    depth: int,
    outputs: int,
    batch_norm: bool = True,
    gamma: float = 1.0,
    activation: Phi = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.5,
    *,
    beta: float = 0.0,
    eps: float = 1e-5,
) -> Network:
    """Fully connected network of ``depth`` affine layers, batch norm after each but the last [Wei, sec. 4].

    Parameters
    ----------
    inputs, outputs
        Input features N_0 and output units C.
    width
        Units of every hidden layer, or one number per hidden layer (``depth`` − 1 of them).
    depth
        Number of affine layers L.
    batch_norm, gamma, beta, eps
        Whether each hidden layer is normalised, and with which γ, β, ε.
    activation, weight_variance, bias_variance
        φ, σ_w², σ_b² of the whole network.

    Raises
    ------
    InvalidInput
        A number is out of range, or the widths do not match the depth.

    Examples
    --------
    >>> mlp(inputs=784, width=1000, depth=4, outputs=10).parameter_count
    2803010
    """
    depth = whole_number(depth, "depth")
    widths = _widths(width, depth - 1)
    if len(widths) != depth - 1:
        raise InvalidInput(
            expected=f"{depth - 1} hidden widths for depth {depth}", got=f"{len(widths)}: {widths}"
        )
    layers: list[Layer] = []
    for units in widths:
        layers += [Dense(units), *_hidden(batch_norm, gamma, beta, eps, activation)]
    return Network((inputs,), (*layers, Dense(outputs)), weight_variance, bias_variance)


def convnet(
    input_shape: Sequence[int],
    channels: Sequence[int],
    outputs: int,
    batch_norm: bool = True,
    gamma: float = 1.0,
    activation: Phi = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.5,
    *,
    kernel: int = 3,
    stride: int = 2,
    padding: int = 0,
    pooling: str | None = None,
    beta: float = 0.0,
    eps: float = 1e-5,
) -> Network:
    """Convolutional network with one dense head, batch norm after each convolution [Wei, sec. 4].

    Parameters
    ----------
    input_shape
        (channels, height, width).
    channels
        Output channels of each convolution.
    outputs
        Output units C.
    kernel, stride, padding
        Of every convolution (3, 2 and 0, as in [Wei, sec. 4]).
    pooling
        None flattens in front of the head, "global" averages over positions.
    batch_norm, gamma, beta, eps, activation, weight_variance, bias_variance
        As in `mlp`.

    Raises
    ------
    InvalidInput
        A number is out of range, or an image became smaller than the kernel.

    Examples
    --------
    >>> convnet((3, 32, 32), (30, 60, 90), 10).shapes[-2]
    (810,)
    """
    if pooling not in (None, "global"):
        raise InvalidInput(expected='pooling None or "global"', got=repr(pooling))
    counts = _listed(channels, "channels as a list of at least one number")
    if not counts:
        raise InvalidInput(expected="channels as a list of at least one number", got=repr(channels))
    shape = _listed(input_shape, "input_shape as (channels, height, width)")
    layers: list[Layer] = []
    for count in counts:
        layers += [
            Conv(count, kernel, stride, padding),
            *_hidden(batch_norm, gamma, beta, eps, activation),
        ]
    head: Layer = Flatten() if pooling is None else GlobalAveragePool()
    return Network(tuple(shape), (*layers, head, Dense(outputs)), weight_variance, bias_variance)


def _widths(width: Any, hidden: int) -> list[Any]:
    """One width per hidden layer, each still to be checked by its layer."""
    try:
        return [width if isinstance(width, bool) else operator.index(width)] * hidden
    except TypeError:
        return _listed(width, "width as a whole number, or a list of them")


def _listed(values: Any, what: str) -> list[Any]:
    """The entries of any iterable."""
    try:
        return list(values)
    except TypeError:
        raise InvalidInput(expected=what, got=repr(values)) from None


def _hidden(batch_norm: bool, gamma: float, beta: float, eps: float, activation: Phi) -> list[Layer]:
    norm: list[Layer] = [BatchNorm(gamma, beta, eps)] if batch_norm else []
    return [*norm, Activation(activation)]
