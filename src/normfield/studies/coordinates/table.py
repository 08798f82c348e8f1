"""The table of fitted images: what its rows and columns are called, and networks with and without batch norm paired."""

from __future__ import annotations

import math
from dataclasses import dataclass

from normfield.studies.curves import number, where
from normfield.studies.frame import Row, Rows

PLAIN, NORMED = "without batch norm", "with batch norm"

#: Which eigenvalues are kept, the largest being the first.
RANKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 144, 200, 300, 500, 700, 1000, 2000)


@dataclass(frozen=True)
class Pair:
    """The rows of one way to give coordinates."""

    plain: Row
    normed: Row

    @property
    def words(self) -> str:
        """How coordinates are given."""
        frequencies = int(number(self.plain, "frequencies"))
        return f"{frequencies} Fourier frequencies" if frequencies else "coordinates alone"

    def ratio(self, name: str) -> float:
        """A column with batch norm over the same without; NaN unless both are positive."""
        above, below = number(self.normed, name), number(self.plain, name)
        return above / below if above > 0 and below > 0 else math.nan

    def difference(self, name: str) -> float:
        """A column with batch norm minus the same without."""
        return number(self.normed, name) - number(self.plain, name)


def pairs(rows: Rows) -> list[Pair]:
    """One pair for each way to give coordinates."""
    ways = dict.fromkeys(row["frequencies"] for row in rows)
    return [
        Pair(where(rows, frequencies=way, network=PLAIN)[0], where(rows, frequencies=way, network=NORMED)[0])
        for way in ways
    ]


def steps(row: Row) -> list[int]:
    """After which steps a fit was looked at."""
    return [int(name.removeprefix("trained_psnr_")) for name in row if name.startswith("trained_psnr_")]


def ranks(row: Row) -> list[int]:
    """Which eigenvalues the table holds."""
    return [rank for rank in RANKS if f"eigenvalue_{rank}" in row]
