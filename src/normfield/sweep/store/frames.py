"""A table as a pandas frame, gathered column by column."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from normfield.sweep.store.tables import Column, Table
from normfield.sweep.task import Cell

if TYPE_CHECKING:
    import pandas as pd


def frame_of(table: Table) -> pd.DataFrame:
    """The table in memory: reals as float64, where a missing one is NaN; whole numbers with missing ones as Int64."""
    import pandas as pd

    gathered = [_Gathered(column) for column in table.columns]
    for chunk in table.chunks:
        for column, cells in zip(gathered, zip(*chunk, strict=True), strict=True):
            column.extend(cells)
    return pd.DataFrame({column.name: column.series() for column in gathered})


class _Gathered:
    """The cells of a column as compactly as its type allows."""

    def __init__(self, column: Column) -> None:
        self.name = column.name
        self._type, self._gaps = column.type, column.has_missing
        self._texts: dict[str, str] = {}
        self._cells: Any = array("d") if column.type == "real" else array("q") if self._is_whole else []

    @property
    def _is_whole(self) -> bool:
        return self._type == "whole" and not self._gaps

    def extend(self, cells: Iterable[Cell]) -> None:
        if self._type == "real":
            self._cells.extend(math.nan if value is None else value for value in cells)
        elif self._type == "text" and self.name != "key":
            # The same few words stand in every row: one object each.
            self._cells.extend(self._texts.setdefault(value, value) for value in cells)  # type: ignore[arg-type]
        else:
            self._cells.extend(cells)

    def series(self) -> pd.Series:
        import numpy as np
        import pandas as pd

        if isinstance(self._cells, array):
            return pd.Series(np.asarray(self._cells))
        if self._type == "whole":
            return pd.Series(pd.array(self._cells, dtype="Int64"))
        return pd.Series(self._cells, dtype=None if self._type in ("text", "truth") else object)
