"""Timings taken in turn, so that whatever else the machine does falls on every contender alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

Prepare = Callable[[int], Callable[[], Any]]
"""Round number ↦ the call to time; what it does before returning that call is not timed."""


@dataclass(frozen=True)
class Timed:
    """Seconds that a call took, and what it returned."""

    seconds: float
    value: Any


Rounds = list[Timed]


def _timed(call: Callable[[], Any]) -> Timed:
    gc.collect()
    begin = perf_counter()
    value = call()
    return Timed(perf_counter() - begin, value)


def alternate(contenders: Mapping[str, Prepare], rounds: int) -> dict[str, Rounds]:
    """Every contender in every round, A B C A B C …, after one round that is not counted."""
    for prepare in contenders.values():
        prepare(0)()
    kept: dict[str, Rounds] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, prepare in contenders.items():
            kept[name].append(_timed(prepare(number)))
    return kept


def median_seconds(rounds: Rounds) -> float:
    """Median over the rounds."""
    return median(timed.seconds for timed in rounds)


def spread(rounds: Rounds) -> str:
    """The least and the most seconds, in words."""
    seconds = [timed.seconds for timed in rounds]
    return f"{min(seconds):.4f} – {max(seconds):.4f}"


def median_ratio(numerator: Rounds, denominator: Rounds) -> float:
    """Median over the rounds of the two times of one round, one over the other."""
    return median(a.seconds / b.seconds for a, b in zip(numerator, denominator, strict=True))
