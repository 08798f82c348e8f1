"""How every run of a search trains, checked when made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from normfield.errors import InvalidInput


@dataclass(frozen=True)
class Settings:
    """Heavy ball at a fixed learning rate: everything but that rate and the seed."""

    momentum: float = 0.9
    batch_size: int | None = 128
    epochs: int = 3
    steps: int | None = None
    divergence_factor: float = 1e3

    def __post_init__(self) -> None:
        number(self.momentum, "momentum", 0 <= _real(self.momentum) < 1, "at least 0 and below 1")
        whole(self.epochs, "epochs", 1)
        if self.steps is not None:
            whole(self.steps, "steps", 1)
        if self.batch_size is not None:
            whole(self.batch_size, "batch_size", 2)
        factor = _real(self.divergence_factor)
        number(self.divergence_factor, "divergence_factor", 1 < factor < math.inf, "finite and above 1")


def positive(value: object, what: str) -> None:
    """Refuse anything but a finite number above 0."""
    number(value, what, 0 < _real(value) < math.inf, "finite and above 0")


def whole(value: object, what: str, least: int) -> None:
    """Refuse anything but a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(
            expected=f"{what} as a whole number of at least {least}",
            got=repr(value),
            instead=f"try {what}={max(least, 3)}",
        )


def number(value: object, what: str, holds: bool, bounds: str) -> None:
    """Refuse a number that does not hold its bounds."""
    if not holds:
        raise InvalidInput(expected=f"{what} {bounds}", got=repr(value), instead=f"give a number {bounds}")


def _real(value: object) -> float:
    """The value as a float; NaN, which fails every comparison, where it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
