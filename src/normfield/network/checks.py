"""What a number in a description must be."""

from __future__ import annotations

import math
import operator
from typing import Any

from normfield.errors import InvalidInput


def whole_number(value: Any, what: str) -> int:
    """``value`` as an int of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidInput(expected=f"{what} as a whole number", got=repr(value)) from None
    if isinstance(value, bool):
        raise InvalidInput(expected=f"{what} as a whole number", got=repr(value))
    if number < 1:
        raise InvalidInput(expected=f"{what} of at least 1", got=str(number))
    return number


def finite_number(value: Any, what: str, *, least: float = -math.inf, above: float = -math.inf) -> float:
    """``value`` as a finite float within its bounds."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidInput(expected=f"{what} as one number", got=repr(value)) from None
    if not math.isfinite(number) or number < least or number <= above:
        bound = f" of at least {least:g}" if least > -math.inf else f" above {above:g}"
        raise InvalidInput(
            expected=f"a finite {what}" + (bound if max(least, above) > -math.inf else ""), got=repr(value)
        )
    return number


def pair_of(value: Any, what: str, least: int) -> tuple[int, int]:
    """One whole number, or two, as a (height, width) pair."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or not all(isinstance(v, int) and not isinstance(v, bool) and v >= least for v in pair):
        raise InvalidInput(
            expected=f"{what} as a whole number of at least {least} or a pair of them", got=repr(value)
        )
    return pair[0], pair[1]


def optional_number(value: Any, what: str, **bounds: float) -> float | None:
    """None, or a finite float within its bounds."""
    return None if value is None else finite_number(value, what, **bounds)
