"""The user's own tensors and arrays as a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from normfield.data.checks import inferred_classes
from normfield.data.dataset import DataSet
from normfield.errors import InvalidInput

PAIR_NAMES = (("inputs", "targets"), ("x", "y"))


def from_pair(
    inputs: Any, targets: Any, name: str, classes: int | None = None, *, test: tuple[Any, Any] | None = None
) -> DataSet:
    """Make a data set of inputs and targets, values unchanged but for their type.

    Integer vectors are class labels, and the largest says how many classes there are unless `classes` does;
    tables (samples, outputs) are float targets. Tensors are detached, stay on their device and may share
    memory.
    """
    inputs = as_floats(inputs, "inputs")
    targets = as_targets(targets).to(inputs.device)
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
        None if test_inputs is None else as_floats(test_inputs, "test inputs").to(inputs.device),
        None if test_targets is None else as_targets(test_targets).to(inputs.device),
    )


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
    """Return a detached tensor of numbers; arrays are copied, tensors are not."""
    if not isinstance(values, torch.Tensor):
        values = _from_array(values, what)
    if values.layout != torch.strided or values.is_complex() or values.is_quantized:
        raise InvalidInput(
            expected=f"{what} as dense real numbers",
            got=f"a tensor of type {values.dtype} and layout {values.layout}",
            instead="convert them first",
        )
    return values.detach()


def as_floats(values: Any, what: str) -> torch.Tensor:
    """Return a float32 tensor."""
    return as_tensor(values, what).to(torch.float32)


def as_targets(values: Any) -> torch.Tensor:
    """Return labels as an int64 vector, or float32 rows of outputs; refuse what could be either."""
    targets = as_tensor(values, "targets")
    whole = not targets.is_floating_point()
    if targets.ndim == 1 and whole:
        return targets.to(torch.int64)
    if targets.ndim == 2 and not (whole and targets.shape[1] == 1):
        return targets.to(torch.float32)
    raise InvalidInput(
        expected="class labels as integers of shape (samples,), or float targets of shape (samples, outputs)",
        got=f"{targets.dtype} of shape {tuple(targets.shape)}",
        instead="make labels an integer vector, or float targets a table with one column for each output",
    )


def is_labels(targets: torch.Tensor) -> bool:
    """Say whether targets are class labels rather than float rows."""
    return not targets.is_floating_point()


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
    kind = np.float32 if array.dtype.kind == "f" else np.int64
    with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite, and is refused as such
        return torch.from_numpy(np.array(array, dtype=kind))


def _refuse_classes(classes: int | None) -> None:
    if classes is not None:
        raise InvalidInput(
            expected=f"class labels, as classes={classes} says",
            got="float targets of shape (samples, outputs)",
            instead="leave classes out or give integer labels",
        )
