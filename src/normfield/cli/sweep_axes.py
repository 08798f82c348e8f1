"""Axes of a sweep from the command line: ``gamma=log:0.1:5:20``, ``depth=lin:2:10:5``, ``momentum=0,0.5,0.9``."""

from __future__ import annotations

import math
from collections.abc import Iterable

from normfield.errors import InvalidInput
from normfield.sweep import Cell

AXIS_WORDS = (
    "NAME=log:LOW:HIGH:N or NAME=lin:LOW:HIGH:N for N values with equal ratios or distances, or a list, "
    "NAME=0.1,0.3,1. Repeatable; all combinations are run."
)
_FORM = "an axis as NAME=log:LOW:HIGH:N, NAME=lin:LOW:HIGH:N or NAME=VALUE,VALUE,..."
_EXAMPLE = "e.g. --axis gamma=log:0.1:5:20"
_DIGITS = 6
_MOST = 100_000
_WORDS = {"true": True, "false": False, "none": None}


def read_axes(texts: Iterable[str]) -> dict[str, tuple[Cell, ...]]:
    """Values by axis, in the order given.

    Raises
    ------
    InvalidInput
        No axis, one twice, or one in another form.
    """
    axes: dict[str, tuple[Cell, ...]] = {}
    for text in texts:
        name, values = read_axis(text)
        if name in axes:
            raise InvalidInput(
                expected="every axis once", got=f"{name} twice", instead="give all its values at once"
            )
        axes[name] = values
    if not axes:
        raise InvalidInput(expected="at least one axis", got="none", instead=_EXAMPLE)
    return axes


def read_axis(text: str) -> tuple[str, tuple[Cell, ...]]:
    """Name and values of one axis.

    Raises
    ------
    InvalidInput
        Another form, a number that is none, bounds out of order, too many values.

    Examples
    --------
    >>> read_axis("gamma=log:0.1:10:3")
    ('gamma', (0.1, 1.0, 10.0))
    >>> read_axis("depth=lin:2:6:3"), read_axis("activation=relu,tanh")
    (('depth', (2, 4, 6)), ('activation', ('relu', 'tanh')))
    """
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not name or not values.strip():
        raise InvalidInput(expected=_FORM, got=repr(text), instead=_EXAMPLE)
    kind, colon, rest = values.partition(":")
    if colon and kind.strip() in ("log", "lin"):
        return name, _spaced(text, kind.strip(), rest)
    return name, tuple(_value(text, part.strip()) for part in values.split(","))


def _spaced(text: str, kind: str, rest: str) -> tuple[Cell, ...]:
    """N values from LOW to HIGH, both included."""
    parts = rest.split(":")
    if len(parts) != 3:
        raise InvalidInput(expected=_FORM, got=repr(text), instead=_EXAMPLE)
    low, high = (_number(text, part) for part in parts[:2])
    count = _count(text, parts[2])
    if not low < high or (kind == "log" and low <= 0):
        raise InvalidInput(
            expected=f"LOW below HIGH{', both above 0,' if kind == 'log' else ''} in NAME={kind}:LOW:HIGH:N",
            got=repr(text),
            instead=_EXAMPLE,
        )
    shares = [i / (count - 1) for i in range(count)]
    if kind == "log":
        inner: list[float] = [low * (high / low) ** share for share in shares]
    else:
        inner = [low + (high - low) * share for share in shares]
    return _exact_ends([_rounded(x) for x in inner], low, high)


def _exact_ends(values: list[float], low: float, high: float) -> tuple[Cell, ...]:
    """The bounds as they were typed; whole numbers where bounds and all between are whole."""
    found = [low, *values[1:-1], high]
    whole = isinstance(low, int) and isinstance(high, int) and all(x == int(x) for x in found)
    return tuple(int(x) if whole else float(x) for x in found)


def _rounded(x: float) -> float:
    return float(f"{x:.{_DIGITS}g}")


def _count(text: str, part: str) -> int:
    if not part.strip().isdecimal() or not 2 <= int(part) <= _MOST:
        raise InvalidInput(
            expected=f"N as a whole number from 2 to {_MOST:,} at the end of an axis",
            got=repr(text),
            instead=_EXAMPLE,
        )
    return int(part)


def _number(text: str, part: str) -> int | float:
    value = _value(text, part.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(
            expected=f"numbers for LOW and HIGH, not {part!r}", got=repr(text), instead=_EXAMPLE
        )
    return value


def _value(text: str, part: str) -> Cell:
    """A whole number, a number, a truth value, none, or else a word."""
    if not part:
        raise InvalidInput(expected="a value between commas", got=repr(text), instead=_EXAMPLE)
    if part.lower() in _WORDS:
        return _WORDS[part.lower()]
    try:
        return int(part)
    except ValueError:
        pass
    try:
        number = float(part)
    except ValueError:
        return part
    if not math.isfinite(number):
        raise InvalidInput(expected="finite numbers on an axis", got=repr(text), instead=_EXAMPLE)
    return number
