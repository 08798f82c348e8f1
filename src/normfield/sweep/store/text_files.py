"""Tables as text: CSV for everything that reads tables, JSON lines for programs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

from normfield.sweep.store.tables import Table
from normfield.sweep.task import Cell

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def write_csv(table: Table, path: Path) -> None:
    """Numbers as they are read back exactly, "inf" and "nan" by name, a missing cell empty."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in table.columns])
        for chunk in table.chunks:
            writer.writerows(chunk)


def write_lines(table: Table, path: Path) -> None:
    """A JSON object in each line; an infinite or NaN number is null, and why stands under its name and ``_reason``."""
    names = [column.name for column in table.columns]
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        for chunk in table.chunks:
            file.writelines(_line(names, row) for row in chunk)


def _line(names: Sequence[str], row: Sequence[Cell]) -> str:
    cells = dict(zip(names, row, strict=True))
    strange = {
        name: value for name, value in cells.items() if type(value) is float and not math.isfinite(value)
    }
    for name, value in strange.items():
        cells[name] = None
        cells[f"{name}_reason"] = _reason(value)
    return _encode(cells) + "\n"


def _reason(value: float) -> str:
    return "not a number" if math.isnan(value) else "infinite" if value > 0 else "minus infinity"
