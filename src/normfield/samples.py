"""Samples in the form in which a model takes them: a tensor, or a tuple, list or dict of such, nested at will.

All tensors of one batch share their first dimension, which counts the samples. A tuple or list is a model's positional
arguments; a dict its keyword arguments, or its one argument where its ``forward`` takes no such keywords.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput

Samples = Any
"""A Tensor, or a tuple, list or dict of Samples."""

_TARGET_KEYS = ("targets", "target", "labels", "label", "y")


def leaves(samples: Samples) -> Iterator[Tensor]:
    """Every tensor, in order."""
    if isinstance(samples, Tensor):
        yield samples
        return
    for part in samples.values() if isinstance(samples, Mapping) else samples:
        yield from leaves(part)


def mapped(samples: Samples, change: Callable[[Tensor], Tensor]) -> Samples:
    """The same structure with every tensor changed."""
    if isinstance(samples, Tensor):
        return change(samples)
    if isinstance(samples, Mapping):
        return {key: mapped(part, change) for key, part in samples.items()}
    return tuple(mapped(part, change) for part in samples)


def count(samples: Samples) -> int:
    """m, the length of the first dimension."""
    return len(next(leaves(samples)))


def size_in_bytes(samples: Samples) -> int:
    """The memory of all tensors."""
    return sum(tensor.nbytes for tensor in leaves(samples))


def like(samples: Samples, parameter: Tensor) -> Samples:
    """On the parameter's device, floating-point values in its dtype, whole numbers as they are."""
    return mapped(samples, lambda x: x.to(parameter) if x.is_floating_point() else x.to(parameter.device))


def shape_words(samples: Samples) -> str:
    """The shapes in words: ``shape (128, 3, 32, 32)``, ``{x: (128, 3), mask: (128,)}``."""
    return f"shape {tuple(samples.shape)}" if isinstance(samples, Tensor) else _shapes(samples)


def _shapes(samples: Samples) -> str:
    if isinstance(samples, Tensor):
        return str(tuple(samples.shape))
    if isinstance(samples, Mapping):
        return "{" + ", ".join(f"{key}: {_shapes(part)}" for key, part in samples.items()) + "}"
    return "(" + ", ".join(map(_shapes, samples)) + ")"


def read_samples(value: Any, name: str) -> Samples:
    """Tensors and arrays, nested in tuples, lists and mappings, as detached tensors of one first dimension.

    Parameters
    ----------
    value : tensor, array, or tuple, list or mapping of such
    name : str
        What messages call it.

    Raises
    ------
    InvalidInput
        Another type, an empty structure, a scalar, NaN or infinite values, first dimensions that differ.
    """
    samples = _read(value, name)
    lengths = {len(tensor) for tensor in leaves(samples)}
    if len(lengths) != 1:
        raise InvalidInput(
            expected=f"{name} whose tensors have one first dimension, the samples",
            got=_shapes(samples) if lengths else "an empty structure",
            instead="put what is no sample data into the model itself",
        )
    return samples


def _read(value: Any, name: str) -> Samples:
    if isinstance(value, Tensor | np.ndarray):
        return _tensor(value, name)
    if isinstance(value, Mapping):
        return {str(key): _read(part, f"{name}[{key!r}]") for key, part in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_read(part, f"{name}[{index}]") for index, part in enumerate(value))
    raise InvalidInput(
        expected=f"{name} as a tensor or an array, or a tuple, list or dict of such", got=type(value).__name__
    )


def _tensor(value: Any, name: str) -> Tensor:
    tensor = _from_array(value, name) if isinstance(value, np.ndarray) else _plain(value, name)
    if tensor.dim() == 0:
        raise InvalidInput(expected=f"{name} with a first dimension of samples", got="a scalar")
    bad = tensor.numel() - int(_finite(tensor).sum())
    if bad:
        raise InvalidInput(
            expected=f"finite {name}", got=f"{bad} NaN or infinite values", instead="clean the data first"
        )
    return tensor


def _from_array(array: np.ndarray, name: str) -> Tensor:
    """The array's memory as a tensor; a copy where torch cannot share it."""
    if isinstance(array, np.ma.MaskedArray):
        raise InvalidInput(
            expected=f"{name} without a mask", got="a masked array", instead="fill or drop what is masked"
        )
    shareable = array.flags.writeable and array.dtype.isnative
    strange = any(stride < 0 or stride % max(array.itemsize, 1) for stride in array.strides)
    if not shareable or strange:
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(np.asarray(array))
    except TypeError as error:
        raise InvalidInput(expected=f"numeric {name}", got=f"dtype {array.dtype}") from error


def _plain(tensor: Tensor, name: str) -> Tensor:
    """Detached, of no subclass, and usable by autograd."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        kind = (
            "no values (device meta)" if tensor.is_meta else f"layout {tensor.layout}, dtype {tensor.dtype}"
        )
        raise InvalidInput(
            expected=f"{name} as a dense tensor", got=kind.replace("torch.", ""), instead="convert it first"
        )
    plain = tensor.detach().as_subclass(Tensor)
    return plain.clone() if plain.is_inference() else plain


def _finite(tensor: Tensor) -> Tensor:
    """Which values are numbers; all of them where the dtype holds no others."""
    narrow = tensor.is_floating_point() and tensor.dtype.itemsize == 1
    return torch.isfinite(tensor.float() if narrow else tensor)


def split_targets(item: Any, place: str) -> tuple[Any, Any]:
    """(inputs, targets) of one item of a loader: a pair, or a mapping with one entry named as targets are.

    A mapping {"inputs": x, "targets": y} (or x, y) gives x itself; any other gives all that is not the targets.

    Raises
    ------
    InvalidInput
        Another form, or a mapping without targets.
    """
    if isinstance(item, Mapping):
        return _split_mapping(item, place)
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    size = f" of {len(item)}" if isinstance(item, tuple | list) else ""
    raise InvalidInput(
        expected="batches as pairs (inputs, targets) or as mappings with targets or labels in them",
        got=f"{place} is a {type(item).__name__}{size}",
        instead="put several inputs into a tuple or dict of their own: ((x1, x2), y)",
    )


def is_batch_mapping(item: Mapping[Any, Any]) -> bool:
    """Whether a mapping holds inputs and, under one of the known names, targets."""
    return len(_target_keys(item)) == 1 and len(item) > 1


def _target_keys(item: Mapping[Any, Any]) -> list[str]:
    return [key for key in _TARGET_KEYS if key in item]


def _split_mapping(item: Mapping[Any, Any], place: str) -> tuple[Any, Any]:
    found = _target_keys(item)
    inputs = {key: part for key, part in item.items() if key not in found}
    if not is_batch_mapping(item):
        raise InvalidInput(
            expected=f"one of {', '.join(_TARGET_KEYS)} and at least one input in a mapping",
            got=f"{place} with {', '.join(map(str, item)) or 'no keys'}",
            instead="rename the entry that the loss compares with",
        )
    alone = len(inputs) == 1 and next(iter(inputs)) in ("inputs", "x")
    return (next(iter(inputs.values())) if alone else inputs), item[found[0]]


def arguments(model: nn.Module, inputs: Samples) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(positional, keyword) arguments with which a model is called on these inputs."""
    if isinstance(inputs, Tensor):
        return (inputs,), {}
    if isinstance(inputs, Mapping):
        return ((), dict(inputs)) if _takes_keywords(model, inputs) else ((inputs,), {})
    return tuple(inputs), {}


def _takes_keywords(model: nn.Module, inputs: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(model.forward).bind(**inputs)
    except (TypeError, ValueError):
        return False
    return True


def apply(model: nn.Module, inputs: Samples) -> Any:
    """model(inputs), structured inputs as its arguments."""
    positional, keyword = arguments(model, inputs)
    return model(*positional, **keyword)
