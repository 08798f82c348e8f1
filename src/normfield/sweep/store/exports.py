"""A table as a file: CSV, Parquet or JSON lines, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from normfield.errors import InvalidInput, StoreError
from normfield.sweep.store.parquet_file import check_pyarrow, write_parquet
from normfield.sweep.store.tables import Table
from normfield.sweep.store.text_files import write_csv, write_lines

_WRITERS: dict[str, Callable[[Table, Path], None]] = {
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".json": write_lines,
    ".jsonl": write_lines,
}


def check_target(path: Path, overwrite: bool) -> None:
    """Refuse a suffix without a writer, a file that is there, a missing package or folder, before any work."""
    if path.suffix.lower() not in _WRITERS:
        raise InvalidInput(expected=f"a name that ends in {', '.join(_WRITERS)}", got=path.name)
    if path.exists() and not overwrite:
        raise InvalidInput(
            expected="a new file to export to", got=f"{path}, which is there", instead="allow to overwrite it"
        )
    if not path.absolute().parent.is_dir():
        raise InvalidInput(expected="a folder to export to", got=f"{path.parent}", instead="create it")
    if path.suffix.lower() == ".parquet":
        check_pyarrow()


def write_table(table: Table, path: Path) -> None:
    """Write beside ``path`` and rename, so that a file of that name is never half there."""
    with _beside(path) as unfinished:
        _WRITERS[path.suffix.lower()](table, unfinished)
        unfinished.replace(path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    unfinished = path.with_name(path.name + ".partial")
    try:
        yield unfinished
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StoreError(
            f"{path} could not be written ({error.strerror or error}); the store is unchanged"
        ) from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
