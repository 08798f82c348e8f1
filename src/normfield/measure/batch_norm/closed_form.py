"""Batch norm forward and backward in closed form, for dense and convolutional inputs.

[Ioffe] is Ioffe and Szegedy, "Batch Normalization", ICML 2015.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.batch_norm.closed_form_result import BatchNormGradients, NormalisedBatch


def batch_norm_forward(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> NormalisedBatch:
    """Normalise a batch by its own mean and biased variance, channel by channel.

    With i over the m′ values of a channel (samples times positions):

    μ = (1/m′) Σ x_i,  σ² = (1/m′) Σ (x_i − μ)² + ε,  x̂_i = (x_i − μ)/σ,  y_i = γ x̂_i + β   [Ioffe, Alg. 1]

    Half precision is computed in float32 and rounded at the end, so that no sum overflows on the way.

    Parameters
    ----------
    x : Tensor
        (m, C), or (m, C, *positions) of a convolution; floating-point.
    weight, bias : Tensor, optional
        γ and β, (C,); 1 and 0 where left out.
    eps : float
        ε, added to the variance.

    Returns
    -------
    NormalisedBatch
        Outputs y and what the backward pass needs, in the dtype of x and outside any graph of autograd; where that is
        half precision, all but y in float32.

    Raises
    ------
    InvalidInput
        Another shape or dtype, values that are not finite, a single value per channel, a channel whose values are
        all alike at ε = 0, outputs beyond half precision.

    Examples
    --------
    >>> found = batch_norm_forward(torch.tensor([[1.0], [3.0]]), eps=0.0)
    >>> found.outputs.flatten().tolist(), float(found.mean), float(found.variance)
    ([-1.0, 1.0], 2.0, 1.0)
    """
    x, dtype = _checked_input(x), x.dtype
    gamma, beta = _checked_channels("weight", weight, x, 1.0), _checked_channels("bias", bias, x, 0.0)
    _check_eps(eps)
    variance, mean = torch.var_mean(x, _rows(x), correction=0)
    _check_varies(variance, eps)
    normalised = (x - _wide(mean, x)) / _wide((variance + eps).sqrt(), x)
    outputs = _wide(gamma, x) * normalised + _wide(beta, x)
    outputs = _rounded("outputs", outputs, dtype)
    return NormalisedBatch(outputs, normalised, mean, variance, gamma, beta, float(eps))


def batch_norm_backward(output_gradient: Tensor, forward: NormalisedBatch) -> BatchNormGradients:
    """Gradients of a loss L with respect to a batch norm's input, γ and β, from those at its output.

    With g_i = ∂L/∂y_i, sums over the m′ values of a channel and σ² the variance plus ε [Ioffe, Sec. 3]:

    ∂L/∂x_i = (γ/(m′σ))·(m′ g_i − Σ g − x̂_i Σ g x̂),  ∂L/∂γ = Σ g x̂,  ∂L/∂β = Σ g

    Parameters
    ----------
    output_gradient : Tensor
        g, of the shape of the outputs.
    forward : NormalisedBatch
        From `batch_norm_forward`.

    Returns
    -------
    BatchNormGradients
        That of the input in the dtype of the outputs; those of γ and β in float32 where that is half precision.

    Raises
    ------
    InvalidInput
        Another shape than the outputs', a forward pass that is none, gradients beyond half precision.

    Examples
    --------
    A gradient that all samples share does not pass:

    >>> found = batch_norm_forward(torch.tensor([[1.0], [2.0], [6.0]]))
    >>> batch_norm_backward(torch.ones(3, 1), found).inputs.abs().max().item() < 1e-6
    True
    """
    if not isinstance(forward, NormalisedBatch):
        raise InvalidInput(
            expected="what batch_norm_forward returned", got=type(forward).__name__, instead="call it first"
        )
    g, normalised = _checked_gradient(output_gradient, forward), forward.normalised
    rows = _rows(g)
    for_bias, for_weight = g.sum(rows), (g * normalised).sum(rows)
    count = forward.values_per_channel
    scale = forward.weight / (count * (forward.variance + forward.eps).sqrt())
    inner = count * g - _wide(for_bias, g) - normalised * _wide(for_weight, g)
    for_input = _rounded("input gradients", _wide(scale, g) * inner, forward.outputs.dtype)
    return BatchNormGradients(for_input, for_weight, for_bias)


def _widened(x: Tensor) -> Tensor:
    """Half precision as float32."""
    return x.float() if x.dtype.itemsize < 4 else x


def _rounded(name: str, found: Tensor, dtype: torch.dtype) -> Tensor:
    """In that dtype, or one line where it does not reach so far."""
    rounded = found.to(dtype)
    if dtype != found.dtype and not bool(torch.isfinite(rounded).all()):
        words = str(dtype).removeprefix("torch.")
        raise InvalidInput(
            expected=f"{name} that {words} holds",
            got=f"one of {float(found.abs().max()):.3g}",
            instead="call x.float()",
        )
    return rounded


def _rows(x: Tensor) -> list[int]:
    """Every dimension but the channels'."""
    return [d for d in range(x.dim()) if d != 1]


def _wide(channels: Tensor, x: Tensor) -> Tensor:
    """(C,) in a shape that spreads over x."""
    return channels.view(-1, *[1] * (x.dim() - 2))


def _checked_input(x: Tensor) -> Tensor:
    if not isinstance(x, Tensor) or x.dim() < 2 or x.numel() == 0:
        raise InvalidInput(
            expected="x as a tensor (m, C) or (m, C, *positions)",
            got=f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__,
        )
    if not x.is_floating_point():
        raise InvalidInput(
            expected="floating-point x", got=str(x.dtype).removeprefix("torch."), instead="call x.double()"
        )
    if x.numel() // x.shape[1] < 2:
        raise InvalidInput(
            expected="at least 2 values per channel", got="1", instead="give more samples or positions"
        )
    return _widened(_checked_finite("x", x.detach()))


def _checked_finite(name: str, x: Tensor) -> Tensor:
    bad = x.numel() - int(torch.isfinite(x).sum())
    if bad:
        raise InvalidInput(
            expected=f"finite {name}", got=f"{bad} NaN or infinite values", instead="clean it first"
        )
    return x


def _checked_channels(name: str, given: Tensor | None, x: Tensor, otherwise: float) -> Tensor:
    if given is None:
        return x.new_full((x.shape[1],), otherwise)
    if not isinstance(given, Tensor) or given.shape != (x.shape[1],):
        raise InvalidInput(
            expected=f"{name} as a tensor with one value for each of the {x.shape[1]} channels",
            got=f"shape {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__,
        )
    return _checked_finite(name, given.detach().to(x))


def _check_eps(eps: float) -> None:
    if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 <= eps < math.inf:
        raise InvalidInput(expected="eps as a finite number of at least 0", got=repr(eps))


def _check_varies(variance: Tensor, eps: float) -> None:
    alike = (variance == 0).nonzero()
    if eps == 0 and len(alike):
        raise InvalidInput(
            expected="values that differ within every channel at eps = 0",
            got=f"all alike in channel {int(alike[0])}",
            instead="give eps above 0",
        )


def _checked_gradient(g: Tensor, forward: NormalisedBatch) -> Tensor:
    shape = tuple(forward.outputs.shape)
    if not isinstance(g, Tensor) or tuple(g.shape) != shape:
        raise InvalidInput(
            expected=f"output_gradient as a tensor of the outputs' shape {shape}",
            got=f"shape {tuple(g.shape)}" if isinstance(g, Tensor) else type(g).__name__,
        )
    return _checked_finite("output_gradient", g.detach().to(forward.variance))
