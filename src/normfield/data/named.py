"""The sets that have a name: one row each, with how to read it and how to see whether it is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from normfield.data.cifar_binary import SUBFOLDER as CIFAR10_FOLDER
from normfield.data.cifar_binary import TRAINING as CIFAR10_TRAINING
from normfield.data.cifar_binary import missing_cifar10, read_cifar10
from normfield.data.dataset import DataSet
from normfield.data.digits import read_digits
from normfield.data.folder import VARIABLE, data_folder, required_folder
from normfield.data.mnist import SUBFOLDER as MNIST_FOLDER
from normfield.data.mnist import TRAINING as MNIST_TRAINING
from normfield.data.mnist import missing_mnist, read_mnist
from normfield.data.stored import Stored, to_dataset
from normfield.errors import InvalidInput


class Availability(NamedTuple):
    """One named set: whether it can be loaded, what it is, and where it is or was looked for."""

    name: str
    found: bool
    description: str
    where: str


@dataclass(frozen=True)
class Packaged:
    """A set that ships with the package."""

    description: str
    classes: int
    read: Callable[[], Stored]

    def stored(self, name: str) -> Stored:
        """Read the set."""
        return self.read()

    def look(self) -> tuple[bool, str]:
        """Say that the set is there, and where."""
        return True, "inside the package"


@dataclass(frozen=True)
class OnDisk:
    """A set of files in a subfolder of the data folder."""

    description: str
    classes: int
    subfolder: str
    read: Callable[[Path], Stored]
    missing: Callable[[Path], tuple[str, ...]]
    enough: Callable[[tuple[str, ...]], bool]

    def stored(self, name: str) -> Stored:
        """Read the set from the data folder."""
        return self.read(required_folder(f"{name} (subfolder {self.subfolder})"))

    def look(self) -> tuple[bool, str]:
        """Say whether enough files to train on are there, and which are missing where."""
        root = data_folder()
        if root is None:
            return False, f"{VARIABLE} is not set"
        folder = root / self.subfolder
        if not os.path.isdir(folder):
            return False, f"{folder}: no such folder"
        missing = self.missing(folder)
        return self.enough(missing), f"{folder}: lacks {', '.join(missing)}" if missing else str(folder)


def _has_all_mnist_training(missing: tuple[str, ...]) -> bool:
    return not set(MNIST_TRAINING) & set(missing)


def _has_a_cifar10_batch(missing: tuple[str, ...]) -> bool:
    return not set(CIFAR10_TRAINING) <= set(missing)


NAMED: dict[str, Packaged | OnDisk] = {
    "digits": Packaged("1,797 handwritten digits, 1×8×8, values 0 to 16, 10 classes", 10, read_digits),
    "mnist": OnDisk(
        "60,000 + 10,000 handwritten digits, 1×28×28, values 0 to 255, 10 classes",
        10,
        MNIST_FOLDER,
        read_mnist,
        missing_mnist,
        _has_all_mnist_training,
    ),
    "cifar10": OnDisk(
        "50,000 + 10,000 colour photographs, 3×32×32, values 0 to 255, 10 classes",
        10,
        CIFAR10_FOLDER,
        read_cifar10,
        missing_cifar10,
        _has_a_cifar10_batch,
    ),
}


def from_name(name: str, samples: int | None, classes: int | None) -> DataSet:
    """Read a named set, values as stored."""
    entry = NAMED[name]
    if classes not in (None, entry.classes):
        raise InvalidInput(
            expected=f"classes={entry.classes} for {name}", got=str(classes), instead="leave it out"
        )
    return to_dataset(entry.stored(name), name, entry.classes, samples)


def available() -> tuple[Availability, ...]:
    """List the named sets, without reading their data.

    Returns
    -------
    tuple of Availability
        Tuples (name, found, description, where); ``found`` means that there is enough to train on, and
        ``where`` is the folder, with any files that are missing from it.

    Examples
    --------
    >>> available()[0].name
    'digits'
    """
    rows = ((name, entry, *entry.look()) for name, entry in NAMED.items())
    return tuple(Availability(name, found, entry.description, where) for name, entry, found, where in rows)
