"""One way to write a number for a reader; the full precision stays beside it in ``data-value``."""

from __future__ import annotations

import math
from numbers import Integral, Real

from normfield.errors import InvalidInput

MISSING = "–"


def format_number(x: Real | float | None, digits: int = 3) -> str:
    """Write a number with so many significant digits, as a reader would.

    Between 1e-3 and 1e5 it is written out, outside with a short exponent (``3.2e-4``). Closing zeros are kept
    where they say that the value was rounded (0.030012 is ``0.0300``) and dropped where it is exact (0.03).
    Integers keep every digit.

    Parameters
    ----------
    x : float, int or None
        The number; ``None`` and NaN are ``–``, infinities ``∞`` and ``-∞``.
    digits : int
        Significant digits, at least 1.

    Returns
    -------
    str

    Raises
    ------
    InvalidInput
        If ``digits`` is not a positive integer.

    Examples
    --------
    >>> format_number(0.0312345), format_number(784), format_number(3.2e-4), format_number(float("inf"))
    ('0.0312', '784', '3.2e-4', '∞')
    """
    if not isinstance(digits, int) or isinstance(digits, bool) or digits < 1:
        raise InvalidInput(
            expected="digits as an integer of at least 1", got=repr(digits), instead="give 3 for most tables"
        )
    if x is None:
        return MISSING
    if isinstance(x, Integral):
        return _grouped(f"{int(x)}")
    return _real(float(x), digits)


def plain_number(x: object) -> int | float | None:
    """Turn any real number (NumPy's included) into Python's int or float; anything else is None."""
    if isinstance(x, bool) or not isinstance(x, Real):
        return None
    return int(x) if isinstance(x, Integral) else float(x)


def _real(x: float, digits: int) -> str:
    if math.isnan(x):
        return MISSING
    if math.isinf(x):
        return "∞" if x > 0 else "-∞"
    rounded = float(f"{x:.{digits - 1}e}")
    if rounded == 0:
        return "0"
    exact = rounded == x
    return (
        _grouped(_positional(rounded, digits, exact))
        if 1e-3 <= abs(rounded) < 1e5
        else _scientific(x, digits, exact)
    )


def _positional(x: float, digits: int, exact: bool) -> str:
    decimals = max(digits - 1 - math.floor(math.log10(abs(x))), 0)
    return _without_closing_zeros(f"{x:.{decimals}f}", exact)


def _scientific(x: float, digits: int, exact: bool) -> str:
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    return f"{_without_closing_zeros(mantissa, exact)}e{int(exponent)}"


def _without_closing_zeros(text: str, exact: bool) -> str:
    return text.rstrip("0").rstrip(".") if exact and "." in text else text


def _grouped(text: str) -> str:
    """Commas from five digits on: 1797 stays, 671,754 is grouped."""
    whole, point, rest = text.partition(".")
    return f"{int(whole):,}{point}{rest}" if len(whole.lstrip("-")) >= 5 else text
