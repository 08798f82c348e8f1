"""How far a walk goes, and where to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.objective import Pieces

REACH = (0.5, 4.0)
"""The default range of steps in learning rates, that of Santurkar's figures of VGG."""


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < math.inf


def check_rate(learning_rate: Any) -> float:
    """The learning rate as a float, or one line."""
    if not _is_positive(learning_rate):
        raise InvalidInput(
            expected="a finite learning_rate above 0", got=repr(learning_rate), instead="give 0.1, say"
        )
    return float(learning_rate)


def read_steps(steps: Any, learning_rate: float, points: int) -> np.ndarray:
    """The steps in ascending order: those given, or geometric from ½ to 4 times the learning rate."""
    if steps is None:
        if isinstance(points, bool) or not isinstance(points, int) or points < 2:
            raise InvalidInput(expected="points as a whole number of at least 2", got=repr(points))
        return np.geomspace(REACH[0] * learning_rate, REACH[1] * learning_rate, points)
    found = list(steps) if isinstance(steps, Iterable) and not isinstance(steps, str | Mapping) else [steps]
    wrong = [step for step in found if not _is_positive(step)]
    if not found or wrong:
        raise InvalidInput(
            expected="steps as finite numbers above 0",
            got=repr(wrong[0]) if wrong else "none",
            instead="give steps=(0.05, 0.1, 0.2, 0.4), or leave them out",
        )
    return np.unique(np.array(found, dtype=np.float64))


def _by_name(function: ModelFunction, direction: Mapping[str, Any]) -> Pieces:
    strange = [name for name in direction if name not in function.names]
    if strange:
        raise InvalidInput(
            expected="a direction with the names of trainable parameters",
            got=repr(strange[0]),
            instead=f"use those of named_parameters(), such as {function.names[0]!r}",
        )
    at = dict(zip(function.names, function.parameters, strict=True))
    for name, part in direction.items():
        if not isinstance(part, Tensor) or part.shape != at[name].shape:
            got = f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
            raise InvalidInput(
                expected=f"a tensor of shape {tuple(at[name].shape)} for {name!r} of the direction", got=got
            )
    return tuple(
        direction[name].detach().to(p) if name in direction else torch.zeros_like(p) for name, p in at.items()
    )


def _flat(function: ModelFunction, direction: Tensor) -> Pieces:
    if direction.shape != (function.size,):
        raise InvalidInput(
            expected=f"a direction of the {function.size} trainable parameters, shape ({function.size},)",
            got=f"shape {tuple(direction.shape)}",
            instead="give tensors by parameter name",
        )
    return function.split(direction.detach().to(function.device))


def read_direction(function: ModelFunction, direction: Any) -> Pieces:
    """A direction by parameter names or as one flat vector, in the parameters' shapes."""
    if isinstance(direction, Mapping):
        found = _by_name(function, direction)
    elif isinstance(direction, Tensor):
        found = _flat(function, direction)
    else:
        raise InvalidInput(
            expected="a direction as a mapping of parameter names to tensors, or a flat tensor",
            got=type(direction).__name__,
            instead="leave it out for the gradient",
        )
    if not all(bool(torch.isfinite(piece).all()) for piece in found):
        raise InvalidInput(expected="a finite direction", got="NaN or infinite values")
    return found
