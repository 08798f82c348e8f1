"""Sequences of numbers as figures take them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from normfield.errors import InvalidInput
from normfield.report.formatting import plain_number

if TYPE_CHECKING:
    import numpy as np

Numbers: TypeAlias = "Sequence[Any] | np.ndarray"


def vector(values: Iterable[object], what: str) -> tuple[float | None, ...]:
    """Turn a sequence of real numbers into floats; None, infinite and NaN become None."""
    try:
        given = list(values)
    except TypeError:
        given = None
    if given is None or isinstance(values, str):
        raise InvalidInput(
            expected=f"a sequence of numbers as {what}", got=type(values).__name__, instead="give a list"
        )
    return tuple(_number(value, what) for value in given)


def _number(value: object, what: str) -> float | None:
    if value is None:
        return None
    number = plain_number(value)
    if number is None:
        raise InvalidInput(
            expected=f"numbers or None as {what}",
            got=type(value).__name__,
            instead="convert it with float(value)",
        )
    return float(number) if math.isfinite(number) else None
