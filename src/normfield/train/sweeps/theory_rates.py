"""η* of each column of a map by theory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from normfield.errors import InvalidInput, NotCovered
from normfield.network import Network
from normfield.theory import mean_field

_FIELDS: tuple[Literal["batch", "published"], ...] = ("batch", "published")


@dataclass(frozen=True)
class Column:
    """What theory needs of a column: its network (None where there is no description), loss, optimizer and μ."""

    network: Network | None
    loss: object
    optimizer: str
    momentum: float


@dataclass(frozen=True)
class TheoryRates:
    """η* = 2(1 + μ)/λ_max [Wei, Eq. 7] of each column, at infinite width.

    Attributes
    ----------
    name
        How batch norm is taken: "batch" or "published", as in `mean_field`.
    learning_rates
        η* in the order of the columns; None where theory has none.
    reason
        Why it has none, of the first such column; None where it has all.
    """

    name: str
    learning_rates: tuple[float | None, ...]
    reason: str | None

    @property
    def log10(self) -> tuple[float | None, ...]:
        """log₁₀η*."""
        return tuple(None if rate is None else math.log10(rate) for rate in self.learning_rates)


def theory_rates(columns: Sequence[Column]) -> tuple[TheoryRates, ...]:
    """Each way to take batch norm, with training's own statistics first."""
    return tuple(_of_field(name, columns) for name in _FIELDS)


def _of_field(name: Literal["batch", "published"], columns: Sequence[Column]) -> TheoryRates:
    found = [_rate(name, column) for column in columns]
    reasons = [each for each in found if isinstance(each, str)]
    rates = tuple(None if isinstance(each, str) else each for each in found)
    return TheoryRates(name, rates, reasons[0] if reasons else None)


def _rate(name: Literal["batch", "published"], column: Column) -> float | str:
    """η*, or why there is none."""
    if column.network is None:
        return "theory reads a Network, and this model was given as a module or a function"
    if column.loss != "squared" or column.optimizer != "sgd":
        return "η* is the limit of the squared loss under plain or heavy-ball steps"
    try:
        rate = float(mean_field(column.network, name).max_learning_rate(column.momentum))
    except (NotCovered, InvalidInput) as reason:
        return str(reason)
    return rate if 0 < rate < math.inf else "theory sets no limit here"
