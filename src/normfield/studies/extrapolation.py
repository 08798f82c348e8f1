"""Rates at infinite width, from those of networks of two widths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows


@dataclass(frozen=True)
class Extrapolated:
    """λ_CB of one activation and batch size at infinite width, from the two largest widths as a + b/N."""

    activation: str
    batch_size: float
    theory: float
    value: float
    error: float

    @property
    def off(self) -> float:
        """Relative distance to theory with two standard errors added."""
        return abs(self.value / self.theory - 1) + 2 * self.error / self.theory


def extrapolated(rows: Rows) -> list[Extrapolated]:
    """One for each activation and batch size of the table."""
    return [
        _to_infinity(where(rows, activation=name, batch_size=size), name, size) for name, size in cells(rows)
    ]


def _to_infinity(own: Rows, name: str, size: float) -> Extrapolated:
    """a = (N₂r₂ − N₁r₁)/(N₂ − N₁), and its error from both."""
    width, rate, error = (column(own, key)[-2:] for key in ("width", "simulated", "error"))
    share = width * np.array([-1.0, 1.0]) / (width[1] - width[0])
    value, deviation = float(share @ rate), float(np.sqrt(share**2 @ error**2))
    return Extrapolated(name, size, number(own[0], "theory"), value, deviation)


def cells(rows: Rows) -> list[tuple[str, float]]:
    """The table's activations and batch sizes."""
    return list(dict.fromkeys((str(row["activation"]), number(row, "batch_size")) for row in rows))
