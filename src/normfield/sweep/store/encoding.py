"""Cells as JSON text and curves as packed numbers, both exact: None, NaN, infinities, the two zeros, 1 and 1.0 and
True stay what they are."""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from normfield.errors import InvalidInput
from normfield.sweep.task import Cell

KINDS: dict[type, str] = {bool: "b", int: "i", float: "f", str: "s", type(None): "n"}
"""One letter for each type of cell; whole numbers beyond 2⁵³, which float64 may not hold, are "l", beyond 64
bits "h"."""

_EXACT, _LARGEST = 2**53, 2**63
_encode = json.JSONEncoder(separators=(",", ":")).encode


def text_of(cells: Sequence[Cell]) -> str:
    """JSON list; a float is written by ``repr``, the shortest text that is read as the same number."""
    return _encode(cells)


def cells_of(text: str) -> list[Cell]:
    """The way back from `text_of`."""
    return json.loads(text)


def cell(name: str, value: Any) -> Cell:
    """A NumPy scalar becomes Python's; what is no cell is refused."""
    if type(value) in KINDS:
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    raise InvalidInput(
        expected=f"a string, a number, a truth value or None in the column {name}",
        got=repr(value),
        instead="return a number or a name of it",
    )


def kind(value: Cell) -> str:
    """Letter of a cell's type."""
    letter = KINDS[type(value)]
    if letter != "i" or -_EXACT <= value <= _EXACT:  # type: ignore[operator]
        return letter
    return "l" if -_LARGEST <= value < _LARGEST else "h"  # type: ignore[operator]


def packed(name: str, curve: Iterable[float | None]) -> tuple[bytes, str | None]:
    """A curve as float64, least byte first, and the places of its missing numbers as a JSON list; None for none."""
    numbers = list(curve)
    missing = [place for place, number in enumerate(numbers) if number is None]
    try:
        column = array("d", [math.nan if number is None else number for number in numbers])
    except TypeError as error:
        raise InvalidInput(
            expected=f"numbers or None along the curve {name}", got=str(error), instead="return floats"
        ) from None
    return _little(column).tobytes(), _encode(missing) if missing else None


def unpacked(blob: bytes, missing: str | None) -> tuple[float | None, ...]:
    """The way back from `packed`."""
    column = array("d")
    column.frombytes(blob)
    numbers: list[float | None] = list(_little(column))
    for place in json.loads(missing) if missing else ():
        numbers[place] = None
    return tuple(numbers)


def _little(column: array[float]) -> array[float]:
    if sys.byteorder == "big":
        column.byteswap()
    return column
