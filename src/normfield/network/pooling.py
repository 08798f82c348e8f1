"""Layers that reduce an image: averages and maxima over windows, and the average over all positions."""

from __future__ import annotations

from dataclasses import dataclass

from normfield.errors import InvalidInput
from normfield.network.checks import pair_of
from normfield.network.layers import Layer, Shape, image_shape, windows_along


@dataclass(frozen=True)
class _Window(Layer):
    """A window that slides over each channel of an image."""

    window: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None
    padding: int | tuple[int, int] = 0

    def __post_init__(self) -> None:
        window = pair_of(self.window, "window", 1)
        stride = window if self.stride is None else pair_of(self.stride, "stride", 1)
        padding = pair_of(self.padding, "padding", 0)
        if any(2 * p > w for p, w in zip(padding, window, strict=True)):
            raise InvalidInput(expected="padding of at most half the window", got=f"{padding} for {window}")
        self._set(window=window, stride=stride, padding=padding)

    def output_shape(self, shape: Shape) -> Shape:
        name = type(self).__name__
        channels, height, width = image_shape(shape, name)
        window, stride, padding = (pair_of(v, "window", 0) for v in (self.window, self.stride, self.padding))
        return (
            channels,
            windows_along(height, window[0], stride[0], padding[0], name),
            windows_along(width, window[1], stride[1], padding[1], name),
        )


@dataclass(frozen=True)
class AveragePool(_Window):
    """Average over windows of an image; the stride is the window unless given; padding counts as zeros."""


@dataclass(frozen=True)
class MaxPool(_Window):
    """Maximum over windows of an image; the stride is the window unless given; padding never is the maximum.

    A module has it, theory does not: the maximum of correlated Gaussians is no function of q and q_xy alone.
    """


@dataclass(frozen=True)
class GlobalAveragePool(Layer):
    """Average of each channel over all positions: (channels, height, width) to (channels,)."""

    def output_shape(self, shape: Shape) -> Shape:
        return (image_shape(shape, "GlobalAveragePool")[0],)
