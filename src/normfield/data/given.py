"""The user's own tensors and arrays as a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch

from normfield.data.checks import inferred_classes
from normfield.data.dataset import DataSet
from normfield.errors import InvalidInput
from normfield.samples import Samples, leaves, mapped, split_targets

Form = Literal["floats", "as given"]

PAIR_NAMES = (("inputs", "targets"), ("x", "y"))
TEST_NAMES = ("test_inputs", "test_targets")

_INDICES = (torch.int32, torch.int64)


def from_pair(
    inputs: Any,
    targets: Any,
    name: str,
    classes: int | None = None,
    form: Form | None = None,
    *,
    test: tuple[Any, Any] | None = None,
) -> DataSet:
    """Make a data set of inputs and targets, values unchanged but for their type.

    Inputs take the types that `as_inputs` says, targets those of `as_targets`; the largest label says how many classes
    there are unless `classes` does. Tensors are detached, stay on their device and may share memory.
    """
    inputs = as_inputs(inputs, "inputs", form)
    device = next(leaves(inputs)).device
    targets = _moved(as_targets(targets, classes is not None), device)
    if not is_labels(targets):
        _refuse_classes(classes)
    elif classes is None:
        classes = inferred_classes(targets)
    test_inputs, test_targets = (None, None) if test is None else test
    return DataSet(
        name,
        inputs,
        targets,
        classes,
        None if test_inputs is None else _moved(as_inputs(test_inputs, "test inputs", form), device),
        None if test_targets is None else _moved(as_targets(test_targets, classes is not None), device),
    )


def from_mapping(given: Mapping[str, Any], name: str, classes: int | None, form: Form | None) -> DataSet:
    """Make a data set of a mapping: inputs and targets (x and y), or inputs of any names beside the targets or labels.

    test_inputs and test_targets may stand beside them.
    """
    test = tuple(given[key] for key in TEST_NAMES if key in given)
    if len(test) == 1:
        raise InvalidInput(expected=f"{' and '.join(TEST_NAMES)}, or neither", got="only one of them")
    rest = {key: part for key, part in given.items() if key not in TEST_NAMES}
    inputs, targets = split_targets(rest, "a mapping")
    return from_pair(inputs, targets, name, classes, form, test=(test[0], test[1]) if test else None)


def _moved(values: Samples, device: torch.device) -> Samples:
    return mapped(values, lambda tensor: tensor.to(device))


def pair_in(mapping: Mapping[str, Any], what: str) -> tuple[Any, Any]:
    """Take inputs and targets out of a mapping, by either pair of names."""
    for first, second in PAIR_NAMES:
        if first in mapping and second in mapping:
            return mapping[first], mapping[second]
    raise InvalidInput(
        expected=f"{what} with the keys inputs and targets, or x and y",
        got=", ".join(map(str, mapping)) or "no keys",
        instead="rename the arrays",
    )


def as_tensor(values: Any, what: str) -> torch.Tensor:
    """Return a detached tensor of real numbers, of the type given; arrays are copied, tensors are not."""
    if not isinstance(values, torch.Tensor):
        values = _from_array(values, what)
    if values.layout != torch.strided or values.is_complex() or values.is_quantized:
        raise InvalidInput(
            expected=f"{what} as dense real numbers",
            got=f"a tensor of type {values.dtype} and layout {values.layout}",
            instead="convert them first",
        )
    return values.detach()


def as_inputs(values: Any, what: str, form: Form | None = None) -> Samples:
    """Return inputs as float32 or whole numbers.

    By default one tensor or array becomes float32, but a torch tensor of int32 or int64 stays whole: indices, as torch
    itself takes them. In tuples, lists and dicts all whole numbers and truth values stay. "floats" makes all float32,
    "as given" keeps whole numbers also of one array or of bytes.
    """
    if _is_structure(values):
        return _structure(values, what, lambda part, where: _typed(as_tensor(part, where), form != "floats"))
    is_index = isinstance(values, torch.Tensor) and values.dtype in _INDICES
    return _typed(as_tensor(values, what), form == "as given" or (is_index and form is None))


def as_targets(values: Any, labels: bool = False) -> Samples:
    """Return labels as int64, other targets as float32, a dict's whole numbers as they are.

    Whole numbers are labels as a vector and with more than two dimensions; a table of them is rows of outputs, unless
    the caller says that there are `labels`.

    Raises
    ------
    InvalidInput
        What could be either, a tuple, or no numbers.
    """
    if isinstance(values, Mapping):
        return _structure(values, "targets", lambda part, where: _typed(as_tensor(part, where), True))
    if _is_structure(values):
        raise InvalidInput(
            expected="targets as one tensor or array, or a dict of such",
            got=f"a {type(values).__name__} of {len(values)}",
            instead='for test data give {"inputs": …, "targets": …, "test_inputs": …, "test_targets": …}',
        )
    targets = as_tensor(values, "targets")
    whole = not targets.is_floating_point()
    if whole and (targets.ndim == 1 or targets.ndim > 2 or (labels and targets.ndim == 2)):
        return targets.to(torch.int64)
    if targets.ndim >= 2 and not (whole and targets.shape[1] == 1):
        return targets.to(torch.float32)
    raise InvalidInput(
        expected="class labels as integers of shape (samples,), or float targets of shape (samples, outputs)",
        got=f"{targets.dtype} of shape {tuple(targets.shape)}",
        instead="make labels an integer vector, or float targets a table with one column for each output",
    )


def _typed(tensor: torch.Tensor, keep_whole: bool) -> torch.Tensor:
    return tensor if keep_whole and not tensor.is_floating_point() else tensor.to(torch.float32)


def _is_structure(values: Any) -> bool:
    """Say whether values are a mapping, or a tuple or list with a tensor, an array or such a structure in it."""
    if isinstance(values, tuple | list):
        return any(isinstance(part, torch.Tensor | np.ndarray) or _is_structure(part) for part in values)
    return isinstance(values, Mapping)


def _structure(values: Any, what: str, read: Callable[[Any, str], torch.Tensor]) -> Samples:
    """Read every tensor or array of a nested structure; lists become tuples."""
    if isinstance(values, Mapping | tuple | list) and not values:
        raise InvalidInput(expected=f"{what} with a tensor", got=f"an empty {type(values).__name__}")
    if isinstance(values, Mapping):
        return {str(key): _structure(part, f"{what}[{key!r}]", read) for key, part in values.items()}
    if isinstance(values, tuple | list):
        return tuple(_structure(part, f"{what}[{i}]", read) for i, part in enumerate(values))
    return read(values, what)


def is_labels(targets: Samples) -> bool:
    """Say whether targets are class labels rather than float rows or a dict."""
    return isinstance(targets, torch.Tensor) and not targets.is_floating_point()


def _from_array(values: Any, what: str) -> torch.Tensor:
    if not hasattr(values, "__array__"):
        raise InvalidInput(
            expected=f"{what} as a tensor or an array",
            got=type(values).__name__,
            instead="convert it with numpy.asarray",
        )
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise InvalidInput(expected=f"{what} as real numbers", got=f"an array of type {array.dtype}")
    kind = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite, and is refused as such
        return torch.from_numpy(np.array(array, dtype=kind))


def _refuse_classes(classes: int | None) -> None:
    if classes is not None:
        raise InvalidInput(
            expected=f"class labels, as classes={classes} says",
            got="float targets of shape (samples, outputs) or a dict",
            instead="leave classes out or give integer labels",
        )
