"""Tables as Parquet, in row groups; the one file that knows pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from normfield.errors import InvalidInput
from normfield.sweep.store.encoding import text_of
from normfield.sweep.store.tables import Column, Table
from normfield.sweep.task import Cell


def check_pyarrow() -> None:
    """Refuse where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise InvalidInput(
            expected="pyarrow, to write Parquet",
            got="none",
            instead="pip install 'normfield[parquet]', or export to .csv",
        )


def write_parquet(table: Table, path: Path) -> None:
    """Columns of their own types; None is null, apart from NaN and infinities; mixed columns are text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(column.name, _type(pa, column)) for column in table.columns])
    with pq.ParquetWriter(path, schema) as writer:
        for chunk in table.chunks:
            writer.write_batch(pa.record_batch(_arrays(pa, schema, table.columns, chunk), schema=schema))


def _arrays(pa: Any, schema: Any, columns: Sequence[Column], chunk: Sequence[Sequence[Cell]]) -> list[Any]:
    cells = zip(*chunk, strict=True)
    return [
        pa.array([_words(value) for value in given] if column.type == "mixed" else given, type=field.type)
        for column, field, given in zip(columns, schema, cells, strict=True)
    ]


def _words(value: Cell) -> str | None:
    return value if value is None or isinstance(value, str) else text_of([value])[1:-1]


def _type(pa: Any, column: Column) -> Any:
    types = {"truth": pa.bool_(), "whole": pa.int64(), "real": pa.float64(), "none": pa.null()}
    return types.get(column.type, pa.string())
