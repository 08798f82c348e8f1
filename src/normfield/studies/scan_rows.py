"""The scans of explosion rates: what is varied, and which points have a fixed point that theory knows."""

from __future__ import annotations

from normfield.studies.curves import number, where
from normfield.studies.frame import Row, Rows

#: Of all networks but those whose batch size is varied.
BATCH_SIZE = 32
EPS, GAMMA, BETA, SIZES, SKIP = "eps", "gamma", "beta", "batch size", "skip"
LETTERS = {EPS: "ε", GAMMA: "γ", BETA: "β", SIZES: "B"}

#: So far from ε_c, as a factor, that a network of finite depth has reached its fixed point.
APART = 1.3


def is_stable(row: Row) -> bool:
    """Whether samples that differ in norm come together again, λ_L ≤ 1."""
    return number(row, "norm_rate") <= 1


def settled(rows: Rows) -> list[Row]:
    """Rows of the scan of ε that are so far from both ε_c that the fixed point is reached."""
    return [
        row
        for row in where(rows, scan=EPS)
        if number(row, "value") * APART < number(row, "transition")
        or number(row, "value") > number(row, "outlier_transition") * APART
    ]


def judged(rows: Rows) -> list[Row]:
    """Networks without skip connections whose fixed point is stable and reached."""
    plain = [row for scan in (GAMMA, BETA, SIZES) for row in where(rows, scan=scan)]
    return [row for row in (*plain, *settled(rows)) if is_stable(row)]
