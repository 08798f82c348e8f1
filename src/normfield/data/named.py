"""The sets that have a name: one row each, with how to read it, how to see whether it is there, and how to get it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from normfield.data.cifar_binary import CIFAR10_SET, CifarSet
from normfield.data.dataset import DataSet
from normfield.data.digits import read_digits
from normfield.data.download_display import shown_downloads
from normfield.data.folder import OFFLINE, VARIABLE, cache_folder, data_folder, is_offline
from normfield.data.mnist import FASHION_MNIST_SET, MNIST_SET, IdxSet
from normfield.data.stored import Stored, to_dataset
from normfield.errors import DataUnavailable, InvalidInput


class Availability(NamedTuple):
    """One named set: whether it is here, what it is, where it is or how to get it, and its measures."""

    name: str
    found: bool
    description: str
    where: str
    megabytes: float
    samples: int
    test_samples: int
    shape: tuple[int, ...]
    classes: int


@dataclass(frozen=True)
class Packaged:
    """A set that ships with the package."""

    description: str
    samples: tuple[int, int]
    shape: tuple[int, ...]
    classes: int
    file: str
    read: Callable[[], Stored]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len((files("normfield.data") / self.file).read_bytes())

    def stored(self, name: str, quiet: bool) -> Stored:
        """Read the set."""
        return self.read()

    def look(self, name: str) -> tuple[bool, str]:
        """Say that the set is there, and where."""
        return True, "inside the package"

    def fetch(self, name: str, quiet: bool) -> None:
        """Do nothing: the set is here."""


@dataclass(frozen=True)
class OnDisk:
    """A set of files in a subfolder of the data folder or of the cache, where it is downloaded to."""

    description: str
    samples: tuple[int, int]
    shape: tuple[int, ...]
    classes: int
    files: IdxSet | CifarSet

    @property
    def size(self) -> int:
        """Bytes to download."""
        return self.files.download_size

    def stored(self, name: str, quiet: bool) -> Stored:
        """Read the set from where it is, or download it first."""
        root = self.found_in()
        if root is None:
            self._refuse_offline(name)
            self._download(name, quiet)
            root = cache_folder()
        try:
            return self.files.read(root)
        except DataUnavailable as error:
            if root != cache_folder():
                raise
            raise DataUnavailable(f"{error} with normfield data fetch {name}") from error

    def found_in(self) -> Path | None:
        """Return where the set is: the data folder or else the cache with all files, or the former with enough."""
        places = [place for place in (data_folder(), cache_folder()) if place is not None]
        whole = [place for place in places if not self.files.missing(place / self.files.subfolder)]
        return whole[0] if whole else self._partly_in()

    def fetch(self, name: str, quiet: bool) -> None:
        """Download what the cache does not hold as published; nothing where the data folder has all files."""
        given = data_folder()
        if given is None or self.files.missing(given / self.files.subfolder):
            self._refuse_offline(name)
            self._download(name, quiet)

    def look(self, name: str) -> tuple[bool, str]:
        """Say where the set is, and which files are missing there; or why it is not here and how to get it."""
        root = self.found_in()
        if root is None:
            return False, f"not here ({self._why_not_here()}): download with normfield data fetch {name}"
        folder = root / self.files.subfolder
        missing = self.files.missing(folder)
        return True, f"{folder}: lacks {', '.join(missing)}" if missing else str(folder)

    def _partly_in(self) -> Path | None:
        given = data_folder()
        if given is None or not self.files.enough(self.files.missing(given / self.files.subfolder)):
            return None
        return given

    def _why_not_here(self) -> str:
        given = data_folder()
        if given is None:
            return f"{VARIABLE} is not set"
        folder = given / self.files.subfolder
        if not os.path.isdir(folder):
            return f"{folder}: no such folder"
        return f"{folder} lacks {', '.join(self.files.missing(folder))}"

    def _refuse_offline(self, name: str) -> None:
        if is_offline():
            raise DataUnavailable(
                f"{name} not found: {self._why_not_here()}, and {OFFLINE} forbids to download it; {self._by_hand()}"
            )

    def _download(self, name: str, quiet: bool) -> None:
        try:
            with shown_downloads(quiet) as begin:
                self.files.fetch(cache_folder() / self.files.subfolder, begin)
        except DataUnavailable as error:
            raise DataUnavailable(
                f"{name} not found: {self._why_not_here()}; {error}; try again, or {self._by_hand()} "
                f"(normfield data verify {name} checks it)"
            ) from error

    def _by_hand(self) -> str:
        return f"set {VARIABLE} to a folder that has its files in the subfolder {self.files.subfolder}"


NAMED: dict[str, Packaged | OnDisk] = {
    "digits": Packaged(
        "handwritten digits, values 0 to 16", (1437, 360), (1, 8, 8), 10, "digits.npz", read_digits
    ),
    "mnist": OnDisk("handwritten digits, values 0 to 255", (60_000, 10_000), (1, 28, 28), 10, MNIST_SET),
    "fashion-mnist": OnDisk(
        "articles of clothing, values 0 to 255", (60_000, 10_000), (1, 28, 28), 10, FASHION_MNIST_SET
    ),
    "cifar10": OnDisk("colour photographs, values 0 to 255", (50_000, 10_000), (3, 32, 32), 10, CIFAR10_SET),
}


def from_name(name: str, samples: int | None, classes: int | None, quiet: bool = False) -> DataSet:
    """Read a named set, values as stored."""
    entry = NAMED[name]
    if classes not in (None, entry.classes):
        raise InvalidInput(
            expected=f"classes={entry.classes} for {name}", got=str(classes), instead="leave it out"
        )
    return to_dataset(entry.stored(name, quiet), name, entry.classes, samples)


def available() -> tuple[Availability, ...]:
    """List the named sets, without reading or downloading their data.

    Returns
    -------
    tuple of Availability
        Tuples (name, found, description, where, megabytes, samples, test_samples, shape, classes); ``found`` means that
        there is enough to train on, ``where`` is the folder, with any files that are missing from it, or how to get the
        set, and ``megabytes`` the size of its files as they are published.

    Examples
    --------
    >>> available()[0].name
    'digits'
    """
    return tuple(_availability(name, entry) for name, entry in NAMED.items())


def fetch(name: str, quiet: bool = False) -> Availability:
    """Download a named set to the user's cache folder, unless it is here; files there that are damaged are replaced.

    Raises
    ------
    InvalidInput
        No set has that name.
    DataUnavailable
        A file could not be had from any of its addresses, or not be written.
    """
    entry = named(name)
    entry.fetch(name, quiet)
    return _availability(name, entry)


def named(name: str) -> Packaged | OnDisk:
    """Return the row of a name, refusing one that is none."""
    if name not in NAMED:
        raise InvalidInput(expected=f"a named data set ({', '.join(NAMED)})", got=repr(name))
    return NAMED[name]


def _availability(name: str, entry: Packaged | OnDisk) -> Availability:
    found, where = entry.look(name)
    return Availability(
        name, found, entry.description, where, entry.size / 1e6, *entry.samples, entry.shape, entry.classes
    )
