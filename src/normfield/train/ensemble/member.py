"""One network of an ensemble: what is its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normfield.errors import InvalidInput
from normfield.seeds import whole_seed
from normfield.train.settings import number, positive


@dataclass(frozen=True)
class Member:
    """One network of an ensemble.

    Parameters
    ----------
    learning_rate, momentum
        η and μ of its steps; μ is β₁ of Adam, and of RMSProp torch's ``momentum``.
    seed
        Of its initial weights, and of its order of the data unless all share one.
    build
        What makes it, where members differ in γ, initial variances or anything but shape: a Network, a module, or a
        callable seed -> module. None takes the ensemble's.
    """

    learning_rate: float
    momentum: float = 0.9
    seed: int = 0
    build: Any = None

    def __post_init__(self) -> None:
        positive(self.learning_rate, "learning_rate")
        is_real = isinstance(self.momentum, int | float) and not isinstance(self.momentum, bool)
        number(self.momentum, "momentum", is_real and 0 <= self.momentum < 1, "at least 0 and below 1")
        whole_seed(self.seed)


def as_members(given: Any) -> tuple[Member, ...]:
    """Members from members or from learning rates alone."""
    if not isinstance(given, Sequence) and not hasattr(given, "__iter__"):
        raise InvalidInput(
            expected="a list of nf.Member or of learning rates",
            got=repr(given),
            instead="give e.g. [0.1, 0.2]",
        )
    members = tuple(each if isinstance(each, Member) else Member(_rate(each)) for each in given)
    if not members:
        raise InvalidInput(expected="at least one member", got="none")
    return members


def _rate(given: Any) -> float:
    """A learning rate as a number."""
    if isinstance(given, bool) or not hasattr(given, "__float__"):
        raise InvalidInput(expected="nf.Member or a learning rate in the list", got=repr(given))
    return float(given)
