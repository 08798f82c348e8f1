"""The one rule for seeds: a whole number from 0 to 2**63 - 1, NumPy's included."""

from __future__ import annotations

import operator

from normfield.errors import InvalidInput


def whole_seed(seed: object) -> int:
    """Return a seed as Python's int.

    Raises
    ------
    InvalidInput
        It is no whole number, a truth value, or out of range.
    """
    try:
        whole = operator.index(seed)  # pyright: ignore[reportArgumentType]
    except TypeError:
        whole = -1
    if isinstance(seed, bool) or not 0 <= whole < 2**63:
        raise InvalidInput(expected="seed as a whole number from 0 to 2**63 - 1", got=repr(seed))
    return whole
