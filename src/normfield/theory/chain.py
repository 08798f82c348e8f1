"""What the population theory needs of a description: a chain of blocks, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from normfield.errors import InvalidInput, NotCovered
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
    MaxPool,
    Network,
    Residual,
    RMSNorm,
    Shape,
)

#: A number, or an array of a grid.
Numbers = float | np.ndarray

_OTHERS = "the measured answer covers it"


@dataclass(frozen=True)
class Affine:
    """One affine layer l: N_{l−1} fan-in, |K_l| output positions (1 for a dense layer), σ_w², σ_b²."""

    number: int
    kind: Literal["dense", "conv"]
    fan_in: Numbers
    positions: int
    weight_variance: Numbers
    bias_variance: Numbers
    bias: bool
    padded: bool = False


@dataclass(frozen=True)
class Norm:
    """A normalisation with its γ, β, ε; RMSNorm has no trainable β."""

    kind: Literal["batch", "layer", "rms"]
    gamma: Numbers
    beta: Numbers
    eps: float


@dataclass(frozen=True)
class Block:
    """affine → norm (or none) → φ → per-sample norm (or none)."""

    affine: Affine
    norm: Norm | None
    phi: ActivationFunction
    norm_after: Norm | None


@dataclass(frozen=True)
class Chain:
    """Hidden blocks 1..L−1 and the linear head L."""

    blocks: tuple[Block, ...]
    head: Affine
    inputs: int
    outputs: int

    @property
    def affines(self) -> tuple[Affine, ...]:
        """The L affine layers in order."""
        return (*(block.affine for block in self.blocks), self.head)

    def has(self, kind: str) -> bool:
        """Whether any block has a norm of this kind in front of its activation."""
        return any(block.norm is not None and block.norm.kind == kind for block in self.blocks)


@dataclass(frozen=True)
class Grid:
    """Values that replace the description's, each a number or an array; None keeps the description's."""

    gamma: Numbers | None = None
    beta: Numbers | None = None
    weight_variance: Numbers | None = None
    bias_variance: Numbers | None = None
    width: Numbers | None = None

    def value(self, name: str, own: float) -> Numbers:
        """The grid's value of one quantity, or the description's own."""
        given = getattr(self, name)
        return own if given is None else given


def read_chain(network: Network, grid: Grid) -> Chain:
    """The chain that the population theory runs along.

    Parameters
    ----------
    network
        Dense and Conv layers, each followed by at most one norm and one activation, a dense layer last.
    grid
        Values that replace the description's.

    Raises
    ------
    NotCovered
        A layer, or an order of layers, has no population theory; the message names it and says why.
    InvalidInput
        A width grid for a network that is not fully connected.
    """
    _refuse_unknown(network.layers)
    groups = _groups(network)
    if grid.width is not None and any(isinstance(group[0], Conv) for group, _ in groups):
        raise InvalidInput(expected="a width grid with a fully connected network", got="convolutions")
    affines = [
        _affine(number, group[0], shape, network, grid) for number, (group, shape) in enumerate(groups, 1)
    ]
    if affines[-1].kind == "conv" or any(not isinstance(part, Dense) for part in groups[-1][0]):
        raise NotCovered("the population theory needs a linear dense layer last: " + _OTHERS)
    blocks = [
        _block(affine, group[1:], grid) for affine, (group, _) in zip(affines, groups[:-1], strict=False)
    ]
    return Chain(tuple(blocks), affines[-1], math.prod(network.input_shape), network.output_shape[0])


def _refuse_unknown(layers: tuple[Layer, ...]) -> None:
    reasons = {
        Residual: "residual branches add their order parameters with those of the skip",
        MaxPool: "the maximum of correlated Gaussians is no function of their variances and covariances",
        AveragePool: "pooling couples the gradients of different positions",
        GlobalAveragePool: "a pooled head couples the gradients of all positions (16.8 measured against 130.7)",
    }
    for layer in layers:
        if type(layer) in reasons:
            raise NotCovered(
                f"the population theory does not cover {type(layer).__name__}: {reasons[type(layer)]}; {_OTHERS}"
            )


def _groups(network: Network) -> list[tuple[list[Layer], Shape]]:
    """Each affine layer with what follows it, and the shape in front of it; Flatten is passed over."""
    groups: list[tuple[list[Layer], Shape]] = []
    flattened = False
    for layer, shape in zip(network.layers, network.shapes[:-1], strict=True):
        if isinstance(layer, Dense | Conv):
            groups.append(([layer], shape))
            flattened = False
        elif isinstance(layer, Flatten):
            flattened = len(shape) == 3
        elif isinstance(layer, BatchNorm) and flattened:
            raise NotCovered(
                "batch norm after Flatten normalises every position of a channel by itself, which the population "
                f"theory does not cover: put it before Flatten, or {_OTHERS}"
            )
        elif not groups:
            raise NotCovered(
                f"the population theory starts at an affine layer, here {type(layer).__name__} stands before "
                f"the first: {_OTHERS}"
            )
        else:
            groups[-1][0].append(layer)
    return groups


def _affine(number: int, layer: Layer, before: Shape, network: Network, grid: Grid) -> Affine:
    assert isinstance(layer, Dense | Conv)
    weight_variance, bias_variance = network.variances(layer)
    after = layer.output_shape(before if isinstance(layer, Conv) else (math.prod(before),))
    fan_in: Numbers = float(math.prod(before))
    if isinstance(layer, Conv):
        fan_in = float(before[0] * layer.kernel_positions)
    elif number > 1:
        fan_in = grid.value("width", fan_in)
    return Affine(
        number=number,
        kind="conv" if isinstance(layer, Conv) else "dense",
        fan_in=fan_in,
        positions=math.prod(after[1:]),
        weight_variance=grid.value("weight_variance", weight_variance),
        bias_variance=grid.value("bias_variance", bias_variance) if layer.bias else 0.0,
        bias=layer.bias,
        padded=isinstance(layer, Conv) and any(padding for _, _, padding in layer.windows),
    )


def _block(affine: Affine, parts: list[Layer], grid: Grid) -> Block:
    """affine → [norm] → [activation] → [per-sample norm]; any other order has no population theory."""
    names = [
        "activation" if isinstance(part, Activation) else "norm" if _is_norm(part) else "other"
        for part in parts
    ]
    allowed = (
        [],
        ["norm"],
        ["activation"],
        ["norm", "activation"],
        ["activation", "norm"],
        ["norm", "activation", "norm"],
    )
    if names not in allowed:
        order = " → ".join(type(part).__name__ for part in parts)
        raise NotCovered(
            f"the population theory covers norm → activation → per-sample norm after an affine layer, "
            f"not {order}: {_OTHERS}"
        )
    position = names.index("activation") if "activation" in names else len(names)
    before, after = parts[:position], parts[position + 1 :]
    if after and isinstance(after[0], BatchNorm):
        raise NotCovered(
            "batch norm after the activation normalises values that are not Gaussian, which the population "
            f"theory does not cover: put it before the activation, or {_OTHERS}"
        )
    activation = next((part for part in parts if isinstance(part, Activation)), None)
    return Block(
        affine,
        _norm(before[0], grid) if before else None,
        ACTIVATIONS["linear"] if activation is None else activation.row,
        _norm(after[0], grid) if after else None,
    )


def _is_norm(layer: Layer) -> bool:
    return isinstance(layer, BatchNorm | LayerNorm | RMSNorm)


def _norm(layer: Layer, grid: Grid) -> Norm:
    gamma = grid.value("gamma", getattr(layer, "gamma"))  # noqa: B009 - the three norms share these fields
    if isinstance(layer, RMSNorm):
        return Norm("rms", gamma, 0.0, layer.eps)
    assert isinstance(layer, BatchNorm | LayerNorm)
    kind = "batch" if isinstance(layer, BatchNorm) else "layer"
    return Norm(kind, gamma, grid.value("beta", layer.beta), layer.eps)
