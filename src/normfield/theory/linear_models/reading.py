"""Arrays as the caller gives them, read once: finite float64, of the right shape, and unchanging."""

from __future__ import annotations

from typing import Any

import numpy as np

from normfield.errors import InvalidInput


def numbers(name: str, values: Any, shape: str) -> np.ndarray:
    """A copy of finite numbers in float64 with as many axes as ``shape``, such as "(n, d)", has."""
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise InvalidInput(expected=f"{name} as an array {shape} of numbers", got=_kind(values)) from None
    axes = shape.count(",") + (not shape.endswith(",)")) if shape != "()" else 0
    if array.ndim != axes or array.size == 0:
        raise InvalidInput(expected=f"{name} as an array {shape}", got=f"shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise InvalidInput(
            expected=f"finite numbers in {name}",
            got=f"{np.count_nonzero(~np.isfinite(array))} that are not",
            instead="drop or fill them in first",
        )
    array.setflags(write=False)
    return array


def positive(name: str, value: Any, *, most: float = np.inf) -> float:
    """A finite number above 0 and at most ``most``."""
    number = one_number(name, value)
    if not 0 < number <= most:
        bound = "above 0" if most == np.inf else f"above 0 and at most {most:g}"
        raise InvalidInput(expected=f"{name} {bound}", got=f"{number:g}")
    return number


def one_number(name: str, value: Any) -> float:
    """A finite number."""
    return numbers(name, value, "()").item()


def whole(name: str, given: Any) -> int:
    """A whole number of at least 1."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise InvalidInput(expected=f"{name} as a whole number of at least 1", got=repr(given))
    return int(given)


def check_correlated(correlation: np.ndarray) -> None:
    """Refuse g = 0."""
    if not np.any(correlation):
        raise InvalidInput(
            expected="labels or targets correlated with the inputs",
            got="a correlation of 0, so that u = 0",
            instead="there is no direction to learn",
        )


def _kind(values: Any) -> str:
    return f"{type(values).__name__} {values!r}"[:80]
