"""What inputs, targets and options must be: each function raises on the first fault that it finds."""

from __future__ import annotations

import math

import torch

from normfield import samples
from normfield.errors import InvalidInput
from normfield.samples import Samples

MOST_INFERRED_CLASSES = 100_000


def check_count(value: object, what: str) -> None:
    """Refuse anything but a whole number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(expected=f"{what} as a whole number from 1 up", got=repr(value))


def check_choice(value: object, choices: tuple[str, ...], what: str) -> None:
    """Refuse a word that is not one of `choices`."""
    if value not in choices:
        raise InvalidInput(expected=f"{what} as one of {', '.join(choices)}", got=repr(value))


def check_enough(samples: int, available: int, name: str) -> None:
    """Refuse a request for more samples than there are."""
    if samples > available:
        raise InvalidInput(
            expected=f"at most {available:,} samples of {name}",
            got=f"{samples:,}",
            instead="ask for fewer samples",
        )


def check_inputs(inputs: Samples, what: str = "inputs") -> None:
    """Refuse inputs that are no tensors of float32 or whole numbers, are empty, or hold NaN or infinite values."""
    check_parts(inputs, what)
    if isinstance(inputs, torch.Tensor) and inputs.ndim < 2:
        raise InvalidInput(
            expected=f"{what} of shape (samples, ...) with at least two dimensions",
            got=f"shape {tuple(inputs.shape)}",
            instead="add a dimension for the entries of a sample",
        )
    for tensor in samples.leaves(inputs):
        if tensor.numel() == 0:
            raise InvalidInput(
                expected=f"{what} with at least one sample and one entry",
                got=f"empty data of shape {tuple(tensor.shape)}",
                instead="give at least one sample",
            )
        check_finite(tensor, what)


def check_parts(values: Samples, what: str) -> None:
    """Refuse what is no tensor of float32 or whole numbers, nor a structure of such of one first dimension."""
    check_structure(values, what)
    tensors = list(samples.leaves(values))
    strange = [tensor.dtype for tensor in tensors if tensor.dtype != torch.float32 and not is_whole(tensor)]
    if strange:
        raise InvalidInput(
            expected=f"{what} of type torch.float32", got=str(strange[0]), instead="use load((x, y))"
        )
    if len({tensor.shape[:1] for tensor in tensors}) != 1 or tensors[0].ndim == 0:
        raise InvalidInput(
            expected=f"{what} whose tensors have one first dimension, the samples",
            got=samples.shape_words(values),
            instead="put what is no sample data into the model itself",
        )


def check_structure(values: Samples, what: str) -> None:
    """Refuse a leaf that is no tensor."""
    if isinstance(values, torch.Tensor):
        return
    if not isinstance(values, dict | tuple):
        raise InvalidInput(expected=f"{what} as a torch.Tensor", got=type(values).__name__)
    if not values:
        raise InvalidInput(expected=f"{what} with a tensor", got=f"an empty {type(values).__name__}")
    for key, part in values.items() if isinstance(values, dict) else enumerate(values):
        check_structure(part, f"{what}[{key!r}]")


def is_whole(tensor: torch.Tensor) -> bool:
    """Say whether a tensor holds whole numbers or truth values."""
    return not tensor.is_floating_point() and not tensor.is_complex()


def check_finite(values: torch.Tensor, what: str) -> None:
    """Refuse NaN and infinite values; a float64 sum of finite float32 values cannot overflow."""
    if is_whole(values) or math.isfinite(values.sum(dtype=torch.float64).item()):
        return
    bad = ~torch.isfinite(values)
    first = tuple(bad.nonzero()[0].tolist())
    raise InvalidInput(
        expected=f"finite {what} within the range of float32",
        got=f"{int(bad.sum()):,} NaN or infinite of {values.numel():,} values, the first at index {first}",
        instead="remove or repair those samples",
    )


def check_targets(targets: Samples, classes: int | None, what: str = "targets") -> None:
    """Refuse targets that are neither labels in 0 … classes - 1, nor finite rows of outputs, nor a dict of either."""
    if classes is not None:
        check_labels(targets, classes, what)
    elif isinstance(targets, torch.Tensor):
        check_rows(targets, what)
    elif isinstance(targets, dict):
        check_inputs(targets, what)
    else:
        raise InvalidInput(expected=f"{what} as a torch.Tensor or a dict of such", got=type(targets).__name__)


def check_rows(targets: torch.Tensor, what: str) -> None:
    """Refuse float targets that are not finite rows of outputs."""
    if targets.ndim < 2 or targets.numel() == 0 or is_whole(targets):
        raise InvalidInput(
            expected=f"float {what} of shape (samples, outputs)",
            got=f"{targets.dtype} of shape {tuple(targets.shape)}",
        )
    check_finite(targets, what)


def check_labels(labels: Samples, classes: int, what: str) -> None:
    """Refuse labels that are no tensor of whole numbers from 0 to classes - 1."""
    check_count(classes, "classes")
    if not isinstance(labels, torch.Tensor) or labels.ndim < 1 or labels.dtype != torch.int64:
        got = labels if isinstance(labels, torch.Tensor) else None
        raise InvalidInput(
            expected=f"class labels in {what} as int64 of shape (samples,) or (samples, positions)",
            got=type(labels).__name__ if got is None else f"{got.dtype} of shape {tuple(got.shape)}",
        )
    outside = ((labels < 0) | (labels >= classes)).nonzero()
    if len(outside):
        first = tuple(outside[0].tolist())
        index = first[0] if len(first) == 1 else first
        raise InvalidInput(
            expected=f"class labels in {what} from 0 to {classes - 1}",
            got=f"{len(outside):,} outside, the first {int(labels[first])} at index {index}",
            instead="number the classes from 0, or give the right number of classes",
        )


def check_lengths(inputs: Samples, targets: Samples, what: str) -> None:
    """Refuse inputs and targets of different numbers of samples."""
    if samples.count(inputs) != samples.count(targets):
        raise InvalidInput(
            expected=f"as many {what} targets as inputs",
            got=f"{samples.count(inputs):,} inputs and {samples.count(targets):,} targets",
            instead="give one target for every sample",
        )


def inferred_classes(labels: torch.Tensor) -> int:
    """Return 1 + the largest label, refusing where that cannot be the number of classes."""
    if labels.numel() == 0:
        raise InvalidInput(expected="at least one label", got="none", instead="give at least one sample")
    classes = max(int(labels.max()) + 1, 1)
    if classes > MOST_INFERRED_CLASSES:
        raise InvalidInput(
            expected=f"class labels below {MOST_INFERRED_CLASSES:,}",
            got=f"a largest label of {classes - 1:,}",
            instead="number the classes from 0, or say how many there are with classes=",
        )
    return classes
