"""Every call of an affine layer while a model runs, its output's size taken at once and its gradient's on the way back.

Nothing is kept of the outputs themselves, so that a pass needs no more memory than a training step's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeGuard

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from normfield.measure.signals.scales import NO_GRADIENT, GradientSize, SignalSize, gradient_size, signal_size
from normfield.measure.subject.sample_rows import samples_first, with_rows


@dataclass(eq=False)
class AffineCall:
    """One call of an affine layer; `gradient` is filled in when a backward pass comes by.

    Attributes
    ----------
    name, layer
        Its name in the module, and the layer.
    units, positions
        N, and at how many positions each sample has them, on average where samples cannot be told apart.
    signal, gradient
        Sizes of z and of ∂ℓ/∂z.
    leaf
        The output where nothing before it asks for a gradient, so that a backward pass has to be asked for its own.
    """

    name: str
    layer: nn.Module
    units: int
    positions: int
    signal: SignalSize
    gradient: GradientSize = NO_GRADIENT
    leaf: Tensor | None = None


def affine_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The linear and convolutional layers by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear | _ConvNd)}


def is_measured(output: object) -> TypeGuard[Tensor]:
    """Whether a layer gave a floating-point tensor with values."""
    return isinstance(output, Tensor) and output.is_floating_point() and output.numel() > 0


def _size(z: Tensor, samples: int, channels_first: bool) -> SignalSize:
    """Without what compares samples where they cannot be told apart."""
    rows = samples_first(z, samples, channels_first=channels_first)
    if rows is not None:
        return signal_size(rows)
    return replace(signal_size(z[None]), correlation=None, effective_rank=None, orthogonality_gap=None)


def _call(name: str, layer: nn.Module, output: Tensor, samples: int) -> AffineCall:
    z, is_convolution = with_rows(layer, output), isinstance(layer, _ConvNd)
    units = z.shape[1 if is_convolution else -1]
    positions = max(z.numel() // (units * samples), 1)
    return AffineCall(name, layer, units, positions, _size(z, samples, is_convolution))


def _watch_gradient(call: AffineCall, output: Tensor, watched: Tensor) -> None:
    """Sees the derivative by the output as it is now, whatever operations write into it later."""
    shape = with_rows(call.layer, output).shape

    def take(gradient: Tensor) -> None:
        call.gradient = gradient_size(gradient.reshape(shape), isinstance(call.layer, _ConvNd))

    watched.register_hook(take)


def _watchable(output: Tensor) -> Tensor | None:
    """The output, or what it is a whole view of: an operation in place on a view leaves the view's own history."""
    if not output._is_view():
        return output
    base = output._base
    if base is None or not base.requires_grad or base.numel() != output.numel():
        return None
    return base if output.is_contiguous() and base.is_contiguous() else None


def _keeping(name: str, calls: list[AffineCall], samples: int) -> Callable[..., Tensor | None]:
    def keep(layer: nn.Module, _: object, output: object) -> Tensor | None:
        if not is_measured(output):
            return None
        call = _call(name, layer, output, samples)
        calls.append(call)
        if not output.requires_grad:
            call.leaf = output.requires_grad_()
        watched = None if call.leaf is not None else _watchable(output)
        _watch_gradient(call, output, output if watched is None else watched)
        return output.clone() if watched is None else None  # so that no operation in place reaches it

    return keep


@contextmanager
def affine_calls(model: nn.Module, samples: int) -> Iterator[list[AffineCall]]:
    """While open, every call of an affine layer is noted, in order; batches have so many samples."""
    calls: list[AffineCall] = []
    handles = [
        layer.register_forward_hook(_keeping(name, calls, samples))
        for name, layer in affine_layers(model).items()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
