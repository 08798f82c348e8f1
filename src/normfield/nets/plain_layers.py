"""From a torch operation's own arguments to a layer, for the module and the function of one name alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from normfield.network import Activation, AveragePool, Flatten, Layer, MaxPool, Shape

#: What an operation is: a layer, None where it passes its input on, or the reason why it is neither.
Answer = Layer | None | str


@dataclass(frozen=True)
class AverageToOne(Layer):
    """Average over all positions that leaves both axes in place; what follows it decides which layer it is."""

    window: tuple[int, int]

    def output_shape(self, shape: Shape) -> Shape:
        return shape[0], 1, 1


@dataclass(frozen=True)
class AsImage(Layer):
    """Flat inputs seen as an image, which a description does by its input shape."""

    shape: Shape

    def output_shape(self, shape: Shape) -> Shape:
        return self.shape


def average(
    shape: Shape,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Answer:
    """nn.AvgPool2d and its function."""
    window, step, pad = _windows(kernel_size, stride, padding)
    if any(pad) and not count_include_pad:
        return "count_include_pad=False: a description counts padding as zeros"
    if divisor_override is not None:
        return "divisor_override: a description divides by the window"
    return _uneven(shape, ceil_mode, window, step, pad) or AveragePool(window, step, pad)


def maximum(
    shape: Shape,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Answer:
    """nn.MaxPool2d and its function."""
    window, step, pad = _windows(kernel_size, stride, padding)
    if pair(dilation) != (1, 1):
        return f"dilation={dilation}: a description's window looks at neighbouring positions"
    if return_indices:
        return "return_indices=True: a description's layer has one output"
    return _uneven(shape, ceil_mode, window, step, pad) or MaxPool(window, step, pad)


def adaptive_average(shape: Shape, output_size: Any) -> Answer:
    """nn.AdaptiveAvgPool2d and its function, where the windows are all of one size."""
    if len(shape) != 3:
        return f"it averages over positions, and gets shape {shape}"
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    sizes = [have if want is None else want for have, want in zip(shape[1:], wanted, strict=True)]
    if sizes == [1, 1]:
        return AverageToOne((shape[1], shape[2]))
    if sizes == list(shape[1:]):
        return None
    if any(have % want for have, want in zip(shape[1:], sizes, strict=True)):
        return f"{shape[1]}×{shape[2]} positions do not divide evenly into {sizes[0]}×{sizes[1]}"
    return AveragePool((shape[1] // sizes[0], shape[2] // sizes[1]))


def mean_over_positions(shape: Shape, dim: Any, keepdim: bool) -> Answer:
    """x.mean((2, 3)), with or without the two axes left in place."""
    axes = {
        axis % (len(shape) + 1)
        for axis in (dim if isinstance(dim, tuple | list) else (dim,))
        if axis is not None
    }
    if len(shape) != 3 or axes != {2, 3}:
        return f"its mean is not over all positions of an image (dim={dim} of shape {shape} after the batch)"
    return AverageToOne((shape[1], shape[2])) if keepdim else None


def flattened(shape: Shape, start: int, end: int) -> Answer:
    """nn.Flatten and its function: all axes but the batch's."""
    if start == 1 and end in (-1, len(shape)):
        return Flatten()
    return f"axes {start} to {end} are flattened; a description flattens all but the batch's"


def reshaped(shape: Shape, batch: int, sizes: tuple[int, ...]) -> Answer:
    """x.view and x.reshape to one row of features per sample, or to the shape that is there."""
    if len(sizes) == 2 and sizes in ((batch, -1), (batch, math.prod(shape)), (-1, math.prod(shape))):
        return Flatten()
    if tuple(sizes[1:]) == shape and sizes[0] in (batch, -1):
        return None
    if len(sizes) == 4 and sizes[0] in (batch, -1) and math.prod(sizes[1:]) == math.prod(shape):
        return AsImage(tuple(sizes[1:]))
    return f"a view as {tuple('batch' if size == batch else size for size in sizes)} of shape {shape}"


def leaky_relu(slope: float) -> Activation:
    """max(x, slope·x); torch's and our default slope stays unsaid."""
    return Activation("leaky_relu", None if slope == 0.01 else slope)


def gelu(approximate: str) -> Activation:
    """The exact GELU, or its tanh approximation: two functions, two names."""
    return Activation("gelu_tanh" if approximate == "tanh" else "gelu")


def only_with(name: str, parameter: str, value: float) -> Answer:
    """An activation that a description has for parameter 1 alone."""
    return (
        Activation(name)
        if value == 1
        else f"{parameter}={value:g}: a description has {name} with {parameter}=1"
    )


def pair(value: Any) -> tuple[int, int]:
    """One number for both axes, or two."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _windows(kernel_size: Any, stride: Any, padding: Any) -> tuple[tuple[int, int], ...]:
    window = pair(kernel_size)
    return window, window if stride is None or stride == [] else pair(stride), pair(padding)


def _uneven(shape: Shape, ceil_mode: bool, window: Any, step: Any, pad: Any) -> str | None:
    """Why ceil_mode would make a difference here; None where it makes none."""
    sizes = zip(shape[1:], window, step, pad, strict=True) if len(shape) == 3 else ()
    if ceil_mode and any((size + 2 * p - w) % s for size, w, s, p in sizes):
        return "ceil_mode=True with a last window that stands over the edge"
    return None
