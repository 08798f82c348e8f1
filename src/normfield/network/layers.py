"""The layers of a description: frozen, hashable values that know their shapes and parameter counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any

from normfield.errors import InvalidInput
from normfield.network.activations import ACTIVATIONS, ActivationFunction, activation_named, leaky_relu
from normfield.network.checks import finite_number, optional_number, pair_of, whole_number

#: (features,) of a dense layer or (channels, height, width) of an image.
Shape = tuple[int, ...]


def image_shape(shape: Shape, layer: str) -> tuple[int, int, int]:
    """``shape`` as (channels, height, width); raises InvalidInput where it is flat."""
    if len(shape) != 3:
        raise InvalidInput(
            expected=f"an image (channels, height, width) before {layer}",
            got=f"shape {shape}",
            instead="place it before Flatten, or give input_shape=(channels, height, width)",
        )
    return shape[0], shape[1], shape[2]


def windows_along(size: int, window: int, stride: int, padding: int, layer: str) -> int:
    """How many windows fit along one axis; raises InvalidInput where none does."""
    if size + 2 * padding < window:
        raise InvalidInput(
            expected=f"an image at least as large as the {window}-pixel window of {layer}",
            got=f"{size} pixels with padding {padding}",
            instead="use a smaller window, less stride before it, or more padding",
        )
    return (size + 2 * padding - window) // stride + 1


@dataclass(frozen=True)
class Layer:
    """One step of a network: maps an input shape to an output shape with so many trainable parameters."""

    def output_shape(self, shape: Shape) -> Shape:
        """Shape after this layer, given the shape before it; raises InvalidInput where it does not fit."""
        return shape

    def parameter_count(self, shape: Shape) -> int:
        """Trainable numbers of this layer, given the shape before it."""
        return 0

    def stated(self) -> dict[str, Any]:
        """The fields that are not at their defaults, pairs of equal numbers as one; an activation's name always."""
        return {
            item.name: _one_or_two(getattr(self, item.name))
            for item in fields(self)
            if item.default is MISSING or item.name == "function" or not self._is_at_default(item)
        }

    def _is_at_default(self, item: Field) -> bool:
        return replace(self, **{item.name: item.default}) == self

    def __str__(self) -> str:
        return (
            f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.stated().items())})"
        )

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer z = Wh + b with W ~ N(0, σ_w²/fan_in), b ~ N(0, σ_b²).

    Parameters
    ----------
    width
        Output units N_l.
    weight_variance, bias_variance
        σ_w² and σ_b² of this layer alone; None takes the network's.
    bias
        Whether the layer has a trainable bias.
    """

    width: int
    weight_variance: float | None = None
    bias_variance: float | None = None
    bias: bool = True

    def __post_init__(self) -> None:
        self._set(
            width=whole_number(self.width, "the width of Dense"),
            weight_variance=optional_number(self.weight_variance, "weight_variance", above=0.0),
            bias_variance=optional_number(self.bias_variance, "bias_variance", least=0.0),
            bias=bool(self.bias),
        )

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise InvalidInput(
                expected="flat features before Dense",
                got=f"shape {shape}",
                instead="put Flatten() or GlobalAveragePool() before it",
            )
        return (self.width,)

    def parameter_count(self, shape: Shape) -> int:
        return shape[0] * self.width + self.width * self.bias


@dataclass(frozen=True)
class Conv(Layer):
    """Two-dimensional convolution with W ~ N(0, σ_w²/(channels_in · kernel positions)).

    Parameters
    ----------
    channels
        Output channels.
    kernel, stride, padding
        One whole number or a (height, width) pair; padding is with zeros.
    weight_variance, bias_variance, bias
        As in `Dense`.
    """

    channels: int
    kernel: int | tuple[int, int] = 3
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0
    weight_variance: float | None = None
    bias_variance: float | None = None
    bias: bool = True

    def __post_init__(self) -> None:
        self._set(
            channels=whole_number(self.channels, "the channels of Conv"),
            kernel=pair_of(self.kernel, "kernel", 1),
            stride=pair_of(self.stride, "stride", 1),
            padding=pair_of(self.padding, "padding", 0),
            weight_variance=optional_number(self.weight_variance, "weight_variance", above=0.0),
            bias_variance=optional_number(self.bias_variance, "bias_variance", least=0.0),
            bias=bool(self.bias),
        )

    @property
    def windows(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """(kernel, stride, padding) along height and along width."""
        kernel, stride, padding = self.kernel, self.stride, self.padding
        assert isinstance(kernel, tuple)
        assert isinstance(stride, tuple)
        assert isinstance(padding, tuple)
        return (kernel[0], stride[0], padding[0]), (kernel[1], stride[1], padding[1])

    @property
    def kernel_positions(self) -> int:
        """|F|: how many positions one output looks at."""
        return self.windows[0][0] * self.windows[1][0]

    def output_shape(self, shape: Shape) -> Shape:
        _, height, width = image_shape(shape, "Conv")
        down, across = self.windows
        return self.channels, windows_along(height, *down, "Conv"), windows_along(width, *across, "Conv")

    def parameter_count(self, shape: Shape) -> int:
        return shape[0] * self.kernel_positions * self.channels + self.channels * self.bias


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation of each unit (each channel of an image) over the batch, then γu + β [Ioffe].

    Parameters
    ----------
    gamma, beta
        Initial scale γ and shift β, the same for every unit.
    eps
        ε added to the batch variance.
    """

    gamma: float = 1.0
    beta: float = 0.0
    eps: float = 1e-5

    def __post_init__(self) -> None:
        self._set(
            gamma=finite_number(self.gamma, "gamma"),
            beta=finite_number(self.beta, "beta"),
            eps=finite_number(self.eps, "eps", least=0.0),
        )

    def parameter_count(self, shape: Shape) -> int:
        return 2 * shape[0]


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Normalisation of each sample over all its units to mean 0 and variance 1, then γu + β."""

    gamma: float = 1.0
    beta: float = 0.0
    eps: float = 1e-5

    def __post_init__(self) -> None:
        self._set(
            gamma=finite_number(self.gamma, "gamma"),
            beta=finite_number(self.beta, "beta"),
            eps=finite_number(self.eps, "eps", least=0.0),
        )

    def parameter_count(self, shape: Shape) -> int:
        return 2 * math.prod(shape)


@dataclass(frozen=True)
class RMSNorm(Layer):
    """Division of each sample by the root mean square of its units, then scaling by γ."""

    gamma: float = 1.0
    eps: float = 1e-5

    def __post_init__(self) -> None:
        self._set(gamma=finite_number(self.gamma, "gamma"), eps=finite_number(self.eps, "eps", least=0.0))

    def parameter_count(self, shape: Shape) -> int:
        return math.prod(shape)


@dataclass(frozen=True)
class Activation(Layer):
    """A pointwise activation.

    Parameters
    ----------
    function
        A name ("relu", "tanh", …), an `ActivationFunction`, or a vectorised callable x ↦ φ(x). Theory
        calls a bare callable with NumPy arrays, a built module with torch tensors: it serves those it takes.
    slope
        For "leaky_relu" only: its slope on the left (default 0.01).
    """

    function: str | ActivationFunction | Callable[[Any], Any] = "relu"
    slope: float | None = None

    def __post_init__(self) -> None:
        if self.slope is not None:
            if self.function != "leaky_relu":
                raise InvalidInput(expected="slope with leaky_relu only", got=f"slope with {self.function!r}")
            self._set(slope=finite_number(self.slope, "slope"))
        if isinstance(self.function, str):
            self._set(function=activation_named(self.function).name)
        elif isinstance(self.function, ActivationFunction):
            if ACTIVATIONS.get(self.function.name) is self.function:
                self._set(function=self.function.name)
        elif not callable(self.function):
            raise InvalidInput(
                expected="an activation's name, an ActivationFunction or a callable", got=repr(self.function)
            )

    @property
    def row(self) -> ActivationFunction:
        """What both readings consume."""
        if isinstance(self.function, ActivationFunction):
            return self.function
        if isinstance(self.function, str):
            return activation_named(self.function) if self.slope is None else leaky_relu(self.slope)
        bare = self.function
        return ActivationFunction(getattr(bare, "__name__", "callable"), lambda ops, x: bare(x))


@dataclass(frozen=True)
class Flatten(Layer):
    """(channels, height, width) to channels·height·width features."""

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@dataclass(frozen=True)
class Residual(Layer):
    """x ↦ shortcut(x) + branch(x); an empty shortcut is the identity."""

    branch: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        self._set(
            branch=layer_tuple(self.branch, "the branch of Residual"),
            shortcut=layer_tuple(self.shortcut, "the shortcut of Residual"),
        )
        if not self.branch:
            raise InvalidInput(expected="at least one layer in the branch of Residual", got="none")

    def output_shape(self, shape: Shape) -> Shape:
        branch, shortcut = through(self.branch, shape)[-1], through(self.shortcut, shape)[-1]
        if branch != shortcut:
            raise InvalidInput(
                expected="branch and shortcut of Residual to end in one shape",
                got=f"{branch} and {shortcut}",
                instead="give the shortcut a Dense or Conv that matches the branch",
            )
        return branch

    def parameter_count(self, shape: Shape) -> int:
        return sum(
            layer.parameter_count(before)
            for path in (self.branch, self.shortcut)
            for layer, before in zip(path, through(path, shape)[:-1], strict=True)
        )


def _one_or_two(value: Any) -> Any:
    """(3, 3) as 3, the rest as it is."""
    is_pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, int) for v in value)
    return value[0] if is_pair and value[0] == value[1] else value


def layer_tuple(layers: Any, where: str) -> tuple[Layer, ...]:
    """``layers`` as a tuple, each checked to be a layer."""
    if isinstance(layers, Layer | str) or not hasattr(layers, "__iter__"):
        raise InvalidInput(expected=f"a list of layers for {where}", got=repr(layers))
    found = tuple(layers)
    for layer in found:
        if not isinstance(layer, Layer):
            raise InvalidInput(expected=f"layers (Dense, Conv, BatchNorm, …) in {where}", got=repr(layer))
    return found


def through(layers: tuple[Layer, ...], shape: Shape) -> list[Shape]:
    """The shape before the first layer and after each of them."""
    shapes = [shape]
    for layer in layers:
        shapes.append(layer.output_shape(shapes[-1]))
    return shapes
