"""What inputs, targets and options must be: each function raises on the first fault that it finds."""

from __future__ import annotations

import math

import torch

from normfield.errors import InvalidInput

MOST_INFERRED_CLASSES = 100_000


def check_count(value: object, what: str) -> None:
    """Refuse anything but a whole number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(expected=f"{what} as a whole number from 1 up", got=repr(value))


def check_seed(seed: object) -> None:
    """Refuse anything but a whole number from 0 to 2**63 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InvalidInput(expected="seed as a whole number from 0 to 2**63 - 1", got=repr(seed))


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


def check_inputs(inputs: torch.Tensor, what: str = "inputs") -> None:
    """Refuse inputs without samples, without entries, or with NaN or infinite values."""
    if inputs.ndim < 2:
        raise InvalidInput(
            expected=f"{what} of shape (samples, ...) with at least two dimensions",
            got=f"shape {tuple(inputs.shape)}",
            instead="add a dimension for the entries of a sample",
        )
    if inputs.numel() == 0:
        raise InvalidInput(
            expected=f"{what} with at least one sample and one entry",
            got=f"empty data of shape {tuple(inputs.shape)}",
            instead="give at least one sample",
        )
    check_finite(inputs, what)


def check_finite(values: torch.Tensor, what: str) -> None:
    """Refuse NaN and infinite values; a float64 sum of finite float32 values cannot overflow."""
    if math.isfinite(values.sum(dtype=torch.float64).item()):
        return
    bad = ~torch.isfinite(values)
    first = tuple(bad.nonzero()[0].tolist())
    raise InvalidInput(
        expected=f"finite {what} within the range of float32",
        got=f"{int(bad.sum()):,} NaN or infinite of {values.numel():,} values, the first at index {first}",
        instead="remove or repair those samples",
    )


def check_targets(targets: torch.Tensor, classes: int | None, what: str = "targets") -> None:
    """Refuse targets that are neither labels in 0 … classes - 1 nor finite rows of outputs."""
    if classes is None:
        check_rows(targets, what)
    else:
        check_labels(targets, classes, what)


def check_rows(targets: torch.Tensor, what: str) -> None:
    """Refuse float targets that are not finite rows of outputs."""
    if targets.ndim != 2 or targets.numel() == 0:
        raise InvalidInput(
            expected=f"float {what} of shape (samples, outputs)", got=f"shape {tuple(targets.shape)}"
        )
    check_finite(targets, what)


def check_labels(labels: torch.Tensor, classes: int, what: str) -> None:
    """Refuse labels that are no vector of whole numbers from 0 to classes - 1."""
    check_count(classes, "classes")
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise InvalidInput(
            expected=f"class labels in {what} as int64 of shape (samples,)",
            got=f"{labels.dtype} of shape {tuple(labels.shape)}",
        )
    outside = ((labels < 0) | (labels >= classes)).nonzero()
    if len(outside):
        first = int(outside[0])
        raise InvalidInput(
            expected=f"class labels in {what} from 0 to {classes - 1}",
            got=f"{len(outside):,} outside, the first {int(labels[first])} at index {first}",
            instead="number the classes from 0, or give the right number of classes",
        )


def check_lengths(inputs: torch.Tensor, targets: torch.Tensor, what: str) -> None:
    """Refuse inputs and targets of different numbers of samples."""
    if len(inputs) != len(targets):
        raise InvalidInput(
            expected=f"as many {what} targets as inputs",
            got=f"{len(inputs):,} inputs and {len(targets):,} targets",
            instead="give one target for every sample",
        )


def inferred_classes(labels: torch.Tensor) -> int:
    """Return 1 + the largest label, refusing where that cannot be the number of classes."""
    if len(labels) == 0:
        raise InvalidInput(expected="at least one label", got="none", instead="give at least one sample")
    classes = max(int(labels.max()) + 1, 1)
    if classes > MOST_INFERRED_CLASSES:
        raise InvalidInput(
            expected=f"class labels below {MOST_INFERRED_CLASSES:,}",
            got=f"a largest label of {classes - 1:,}",
            instead="number the classes from 0, or say how many there are with classes=",
        )
    return classes
