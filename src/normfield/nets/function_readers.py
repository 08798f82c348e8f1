"""Functions and methods of tensors as layers: each reader has the signature of what it reads."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from normfield.nets import plain_layers as plain
from normfield.nets.plain_layers import Answer
from normfield.network import Activation, Flatten, GlobalAveragePool, Shape

#: Samples in the batch that a forward method sees while it is followed; no size in a network equals it.
BATCH = 1_299_709


def reader_of(target: Any) -> Callable[..., Answer] | None:
    """The reader of a function, or of a method by its name; None where there is none."""
    if isinstance(target, str):
        return _METHODS.get(target.removesuffix("_"))
    return _FUNCTIONS.get(target)


def is_sum(target: Any) -> bool:
    """Whether a function or method adds two tensors."""
    return target in (
        "add",
        "add_",
        "__add__",
        "__radd__",
        "__iadd__",
        operator.add,
        operator.iadd,
        torch.add,
    )


def works_in_place(target: Any, args: tuple, kwargs: dict) -> bool:
    """Whether a function or method overwrites its first argument."""
    name = target if isinstance(target, str) else target.__name__
    if target is operator.iadd or name == "__iadd__" or (name.endswith("_") and not name.endswith("__")):
        return True
    reader = reader_of(target)
    return reader is not None and bool(
        inspect.signature(reader).bind(*args, **kwargs).arguments.get("inplace")
    )


def _relu(input: Shape, inplace: bool = False) -> Answer:
    return Activation("relu")


def _leaky_relu(input: Shape, negative_slope: float = 0.01, inplace: bool = False) -> Answer:
    return plain.leaky_relu(negative_slope)


def _elu(input: Shape, alpha: float = 1.0, inplace: bool = False) -> Answer:
    return plain.only_with("elu", "alpha", alpha)


def _softplus(input: Shape, beta: float = 1, threshold: float = 20) -> Answer:
    return plain.only_with("softplus", "beta", beta)


def _gelu(input: Shape, approximate: str = "none") -> Answer:
    return plain.gelu(approximate)


def _named(name: str) -> Callable[..., Answer]:
    def read(input: Shape, inplace: bool = False) -> Answer:
        return Activation(name)

    return read


def _flatten(input: Shape, start_dim: int = 0, end_dim: int = -1) -> Answer:
    return plain.flattened(input, start_dim, end_dim)


def _view(input: Shape, *sizes: Any, shape: Any = None) -> Answer:
    given = shape if shape is not None else sizes[0] if len(sizes) == 1 else sizes
    return plain.reshaped(input, BATCH, tuple(given) if isinstance(given, tuple | list) else (given,))


def _squeeze(input: Shape, dim: Any = None) -> Answer:
    if dim is None and len(input) == 3 and input[1:] == (1, 1):
        return Flatten()
    return "axes are taken away one by one; torch.flatten(x, 1) makes features of an image"


def _mean(input: Shape, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Answer:
    return plain.mean_over_positions(input, dim, keepdim) or GlobalAveragePool()


def _average(
    input: Shape,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Answer:
    return plain.average(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _maximum(
    input: Shape,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Answer:
    return plain.maximum(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _adaptive_average(input: Shape, output_size: Any) -> Answer:
    return plain.adaptive_average(input, output_size)


def _dropout(input: Shape, p: float = 0.5, training: bool = True, inplace: bool = False) -> Answer:
    if p == 0 or not training:
        return None
    return f"dropout with p={p} is active: call .eval() on the module, or set p=0"


def _passed_on(input: Shape, *args: Any, **kwargs: Any) -> Answer:
    return None


_POINTWISE = {name: _named(name) for name in ("tanh", "sigmoid", "erf", "abs", "silu", "mish", "selu")} | {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softplus": _softplus,
    "gelu": _gelu,
}

_METHODS: dict[str, Callable[..., Answer]] = {
    **{name: _POINTWISE[name] for name in ("relu", "tanh", "sigmoid", "erf", "abs")},
    "flatten": _flatten,
    "view": _view,
    "reshape": _view,
    "squeeze": _squeeze,
    "mean": _mean,
    **dict.fromkeys(("contiguous", "clone", "to", "float", "double", "half", "bfloat16", "type"), _passed_on),
}

_FUNCTIONS: dict[Any, Callable[..., Answer]] = {
    **{
        getattr(home, spelled): reader
        for name, reader in _POINTWISE.items()
        for home in (torch, F, torch.special)
        for spelled in (name, name + "_")
        if hasattr(home, spelled)
    },
    torch.flatten: _flatten,
    torch.reshape: _view,
    torch.squeeze: _squeeze,
    torch.mean: _mean,
    operator.abs: _POINTWISE["abs"],
    F.avg_pool2d: _average,
    F.max_pool2d: _maximum,
    torch.max_pool2d: _maximum,
    F.adaptive_avg_pool2d: _adaptive_average,
    F.dropout: _dropout,
    F.dropout2d: _dropout,
    torch.dropout: _dropout,
    torch.clone: _passed_on,
}
