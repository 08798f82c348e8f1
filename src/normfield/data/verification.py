"""Are the files of the named sets whole, and the published ones?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from normfield.data.folder import cache_folder, data_folder
from normfield.data.named import NAMED, OnDisk, Packaged, named
from normfield.errors import DataUnavailable

RIGHT, MISSING, CORRUPT, DIFFERENT, UNKNOWN = "right", "missing", "corrupt", "different", "unknown"


class Checked(NamedTuple):
    """One file of a named set: its set, where it is or should be, its status, and what is wrong with it.

    ``status`` is "right", "missing", "corrupt" (it cannot be read as what it should be), "different" (well-formed, but
    not the published file) or "unknown" (well-formed; no checksum is published of this form of the file).
    """

    name: str
    path: str
    status: str
    words: str

    @property
    def is_wrong(self) -> bool:
        """Whether something needs to be done about it."""
        return self.status not in (RIGHT, UNKNOWN)


def verify(name: str) -> tuple[Checked, ...]:
    """Read and compare every file of a named set with the published one, in each folder that has any of them.

    Returns
    -------
    tuple of Checked
        A row for each file; where no folder has any, one row "missing" for the set.

    Raises
    ------
    InvalidInput
        No set has that name.
    """
    entry = named(name)
    if isinstance(entry, Packaged):
        return (_packaged(name, entry),)
    begun = _begun(entry)
    if not begun:
        return (Checked(name, entry.files.subfolder, MISSING, entry.look(name)[1]),)
    return tuple(_file(name, entry, folder, file) for folder in begun for file in entry.files.names)


def present() -> tuple[str, ...]:
    """Return the names of the sets of which at least one file is here."""
    return tuple(name for name, entry in NAMED.items() if isinstance(entry, Packaged) or _begun(entry))


def _begun(entry: OnDisk) -> list[Path]:
    """The folders that have any of the set's files."""
    folders = [root / entry.files.subfolder for root in (data_folder(), cache_folder()) if root is not None]
    return [folder for folder in folders if len(entry.files.missing(folder)) < len(entry.files.names)]


def _packaged(name: str, entry: Packaged) -> Checked:
    try:
        entry.stored(name, quiet=True)
    except DataUnavailable as error:
        return Checked(name, entry.file, CORRUPT, str(error))
    return Checked(name, entry.file, RIGHT, "inside the package")


def _file(name: str, entry: OnDisk, folder: Path, file: str) -> Checked:
    path = entry.files.find(folder, file)
    if path is None:
        return Checked(name, os.fspath(folder / file), MISSING, f"{folder / file} is missing")
    try:
        found = entry.files.compare(path, file)
    except DataUnavailable as error:
        return Checked(name, os.fspath(path), CORRUPT, str(error))
    status = {True: RIGHT, False: DIFFERENT, None: UNKNOWN}[found.is_same]
    return Checked(name, os.fspath(path), status, "" if found.is_same else f"{path.parent}: {found.words}")
