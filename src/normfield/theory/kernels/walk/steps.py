"""A description read as the steps of the kernels' recursion, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from normfield.errors import NotCovered
from normfield.network import (
    ACTIVATIONS,
    Activation,
    ActivationFunction,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAveragePool,
    Layer,
    LayerNorm,
    Network,
    Residual,
    RMSNorm,
    Shape,
)
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.walk.positions import Windows, everywhere

_OTHERS = "the measured answer covers it"


@dataclass(frozen=True)
class Affine:
    """Wh + b: σ_w², σ_b², whether b is trained, N_in inputs to each unit, output shape; windows for a convolution."""

    name: str
    weight_variance: float
    bias_variance: float
    bias: bool
    fan_in: int
    shape: Shape
    windows: Windows | None = None


@dataclass(frozen=True)
class Normed:
    """φ(γu + β) with u the batch's normalised values."""

    name: str
    norm: BatchNormalisation
    phi: ActivationFunction


@dataclass(frozen=True)
class SampleNormed:
    """φ(γu + β) with u each sample's values divided by its own scale; of means, LayerNorm alone takes them off."""

    name: str
    norm: BatchNormalisation
    phi: ActivationFunction
    centred: bool


@dataclass(frozen=True)
class Pointwise:
    """φ alone."""

    name: str
    phi: ActivationFunction


@dataclass(frozen=True)
class Averaged:
    """Averages over windows of positions."""

    name: str
    windows: Windows
    shape: Shape


@dataclass(frozen=True)
class Branched:
    """The sum of two paths from one place."""

    name: str
    branch: tuple[Step, ...]
    shortcut: tuple[Step, ...]


@dataclass(frozen=True)
class Flattened:
    """Channels and positions in one row of features."""

    name: str
    shape: Shape


Step = Affine | Normed | SampleNormed | Pointwise | Averaged | Branched | Flattened


def flat_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps, those of branches before the sum they lead to."""
    for step in steps:
        if isinstance(step, Branched):
            yield from flat_steps(step.branch)
            yield from flat_steps(step.shortcut)
        yield step


def read_steps(network: Network) -> tuple[Step, ...]:
    """The steps of a network.

    Raises
    ------
    NotCovered
        A layer, or an order of layers, has no kernel here; the message names it and says why.
    """
    steps = _path(network.layers, network.input_shape, network, "")
    if not isinstance(steps[-1], Affine) or len(network.output_shape) != 1:
        raise NotCovered(
            f"a kernel answer ends with a Dense layer, here {type(network.layers[-1]).__name__} is last: {_OTHERS}"
        )
    return steps


def _path(layers: Sequence[Layer], shape: Shape, network: Network, before: str) -> tuple[Step, ...]:
    """Steps of one path, whose layers are named by their number after `before`."""
    steps: list[Step] = []
    index = 0
    while index < len(layers):
        layer = layers[index]
        following = layers[index + 1] if index + 1 < len(layers) else None
        name = f"{before}{index + 1} {type(layer).__name__}"
        takes_next = isinstance(layer, BatchNorm | LayerNorm | RMSNorm) and isinstance(following, Activation)
        phi = following.row if takes_next and isinstance(following, Activation) else ACTIVATIONS["linear"]
        steps.append(_step(layer, shape, network, name, phi))
        shape = layer.output_shape(shape)
        index += 1 + takes_next
    return tuple(steps)


def _step(layer: Layer, shape: Shape, network: Network, name: str, phi: ActivationFunction) -> Step:
    """One layer, with the activation behind it where it is a norm."""
    if isinstance(layer, Dense | Conv):
        return _affine(layer, shape, network, name)
    if isinstance(layer, BatchNorm):
        return Normed(name, BatchNormalisation(layer.gamma, layer.beta, layer.eps), phi)
    if isinstance(layer, LayerNorm | RMSNorm):
        beta = layer.beta if isinstance(layer, LayerNorm) else 0.0
        norm = BatchNormalisation(layer.gamma, beta, layer.eps)
        return SampleNormed(name, norm, phi, centred=isinstance(layer, LayerNorm))
    if isinstance(layer, Activation):
        return Pointwise(name, layer.row)
    if isinstance(layer, Flatten):
        return Flattened(name, layer.output_shape(shape))
    if isinstance(layer, GlobalAveragePool):
        return Averaged(name, everywhere(shape[1:]), layer.output_shape(shape))
    if isinstance(layer, AveragePool):
        return Averaged(name, _windows(layer.window, layer.stride, layer.padding), layer.output_shape(shape))
    if isinstance(layer, Residual):
        number = name.split()[0]
        branch = _path(layer.branch, shape, network, f"{number}.branch.")
        return Branched(name, branch, _path(layer.shortcut, shape, network, f"{number}.shortcut."))
    raise NotCovered(f"the kernel does not cover {type(layer).__name__} (layer {name.split()[0]}): {_OTHERS}")


def _windows(window: object, stride: object, padding: object) -> Windows:
    """Pairs (height, width) of each, as a window along height and along width."""
    assert isinstance(window, tuple) and isinstance(stride, tuple) and isinstance(padding, tuple)  # noqa: PT018
    return Windows((window[0], stride[0], padding[0]), (window[1], stride[1], padding[1]))


def _affine(layer: Dense | Conv, shape: Shape, network: Network, name: str) -> Affine:
    weight_variance, bias_variance = network.variances(layer)
    windows = Windows(*layer.windows) if isinstance(layer, Conv) else None
    fan_in = math.prod(shape) if windows is None else shape[0] * windows.places
    return Affine(
        name=name,
        weight_variance=weight_variance,
        bias_variance=bias_variance if layer.bias else 0.0,
        bias=layer.bias,
        fan_in=fan_in,
        shape=layer.output_shape(shape),
        windows=windows,
    )
