"""What instruments return, as rows of one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from normfield.errors import InvalidInput


@dataclass(frozen=True)
class Reading:
    """One number that an instrument found at one step.

    Attributes
    ----------
    step : int
        Counted from 0.
    instrument, quantity : str
    layer : str or None
        None where it is of the whole model.
    value : float
    """

    step: int
    instrument: str
    quantity: str
    layer: str | None
    value: float


def readings_of(returned: Any, instrument: str, step: int) -> list[Reading]:
    """Rows of a number, of numbers by quantity, or of numbers by quantity and layer; None is left out.

    Raises
    ------
    InvalidInput
        Anything else.
    """
    return [
        Reading(step, instrument, quantity, layer, _number(value, instrument))
        for quantity, layer, value in _entries(returned, instrument)
        if value is not None
    ]


def _entries(returned: Any, instrument: str) -> Iterator[tuple[str, str | None, Any]]:
    if not isinstance(returned, Mapping):
        yield instrument, None, returned
        return
    for quantity, value in returned.items():
        if isinstance(value, Mapping):
            yield from ((str(quantity), str(layer), each) for layer, each in value.items())
        else:
            yield str(quantity), None, value


def _number(value: Any, instrument: str) -> float:
    """A float of a number, of a NumPy scalar or of a tensor with one entry."""
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(
            expected=f"instrument {instrument!r} to return a number, or numbers by name",
            got=f"a {type(value).__name__}",
            instead='return e.g. {"norm": 1.0}, or {"norm": {"layer 1": 1.0, "layer 2": 2.0}}',
        ) from error
