"""What can be told of a store from the first hundred bytes of its file, before SQLite opens it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from normfield.errors import InvalidInput, StoreError
from normfield.sweep.store.schema import APPLICATION, VERSION

_MAGIC = b"SQLite format 3\0"
_LENGTH = 100


@dataclass(frozen=True)
class _Header:
    """Fields of SQLite's file header (https://www.sqlite.org/fileformat.html, section 1.3)."""

    application: int
    version: int
    page_size: int
    pages: int

    @classmethod
    def read(cls, head: bytes) -> _Header:
        def number(at: int, size: int = 4) -> int:
            return int.from_bytes(head[at : at + size], "big")

        page_size = number(16, 2)
        return cls(number(68), number(60), 65536 if page_size == 1 else page_size, number(28))


def check_file(path: Path) -> None:
    """Refuse what is no store, a store of a newer version, a truncated one.

    Raises
    ------
    InvalidInput
        No such file, some other file, tables of a newer version.
    StoreError
        Bytes are missing.
    """
    head, size = _head(path)
    if not size:
        raise StoreError(
            f"{path} is empty: a store was truncated, or none was ever here; restore it from a copy"
        )
    if not head.startswith(_MAGIC[: len(head)]):
        raise _other(path, "some other file")
    if len(head) < _LENGTH:
        raise _truncated(path, size)
    header = _Header.read(head)
    if header.application != APPLICATION:
        raise _other(path, "some other SQLite database")
    if header.version > VERSION:
        raise InvalidInput(
            expected=f"a store of version {VERSION} or lower, which this normfield reads",
            got=f"{path} of version {header.version}",
            instead="update normfield",
        )
    # What a log still holds may lie beyond the end of the file.
    if size < header.pages * header.page_size and not log_size(path):
        raise _truncated(path, size, header.pages * header.page_size)


def log_size(path: Path) -> int:
    """Bytes in the write-ahead log beside the store; 0 where there is none."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except OSError:
        return 0


def partial(path: Path) -> Path:
    """The file in which a store is built until it is whole."""
    return path.with_name(path.name + ".partial")


def _head(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            return file.read(_LENGTH), path.stat().st_size
    except FileNotFoundError:
        began = partial(path).exists()
        raise InvalidInput(
            expected="the file of a store",
            got=f"no file {path}"
            + (", but one beside it that is being made or was left half made" if began else ""),
            instead="wait for it, or run the sweep from its start" if began else "check the name",
        ) from None
    except OSError as error:
        raise InvalidInput(
            expected="the file of a store that can be read", got=f"{path} ({error.strerror})"
        ) from None


def _other(path: Path, what: str) -> InvalidInput:
    return InvalidInput(
        expected="the file of a store", got=f"{path}, which is {what}", instead="check the name"
    )


def _truncated(path: Path, size: int, whole: int | None = None) -> StoreError:
    of = f" of {whole:,}" if whole else ""
    return StoreError(
        f"{path} is truncated: {size:,} bytes{of} are there; it was left as it is, restore it from a copy"
    )
