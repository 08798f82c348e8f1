"""CIFAR-10 from its binary distribution: records of 1 label byte and 3,072 pixel bytes (3 channels of 32×32).

CIFAR-10 is by A. Krizhevsky (2009).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from normfield.data.archive import extract
from normfield.data.download import download
from normfield.data.download_display import Begin
from normfield.data.published import CIFAR10, CIFAR10_MEMBER_MD5, PublishedFile
from normfield.data.stored import Comparison, Stored
from normfield.errors import DataUnavailable

TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
TRAINING_TOTAL = 50_000
RECORDS = 10_000
IMAGE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32


@dataclass(frozen=True)
class CifarSet:
    """CIFAR-10: the published archive, and the MD5 of its members."""

    archive: PublishedFile
    member_md5: Mapping[str, str]
    title = "CIFAR-10"
    subfolder = "cifar-10-batches-bin"
    names = (*TRAINING, TEST)

    @property
    def download_size(self) -> int:
        """Bytes to download."""
        return self.archive.size

    def read(self, root: Path) -> Stored:
        """Read the training batches in the subfolder of `root`, and the test batch.

        Batches that are missing are named in the note; ``samples_total`` stays 50,000.

        Raises
        ------
        DataUnavailable
            No training batch is there, or one found is truncated or corrupt.
        """
        folder = root / self.subfolder
        missing = self.missing(folder)
        found = [name for name in TRAINING if name not in missing]
        if not found:
            raise DataUnavailable(f"cifar10 not found: {folder} holds none of {TRAINING[0]} … {TRAINING[-1]}")
        records = [read_records(folder / name) for name in found]
        images, labels = (np.concatenate(parts) for parts in zip(*records, strict=True))
        test_images, test_labels = (None, None) if TEST in missing else read_records(folder / TEST)
        counts = [len(part[1]) for part in records]
        notes = [*_missing_notes(found, missing, sum(counts)), *_size_notes(found, counts)]
        return Stored(images, labels, test_images, test_labels, TRAINING_TOTAL, "; ".join(notes))

    def missing(self, folder: Path) -> tuple[str, ...]:
        """Return the names of the files that `folder` lacks."""
        return tuple(name for name in self.names if self.find(folder, name) is None)

    def enough(self, missing: tuple[str, ...]) -> bool:
        """Say whether there is a training batch beside the files that are missing."""
        return not set(TRAINING) <= set(missing)

    def find(self, folder: Path, name: str) -> Path | None:
        """Return the file of that name."""
        return folder / name if os.path.isfile(folder / name) else None

    def compare(self, path: Path, name: str) -> Comparison:
        """Compare a file that is there with the published one.

        Raises
        ------
        DataUnavailable
            It cannot be read, or is truncated, corrupt or of another format.
        """
        read_records(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return Comparison(digest == self.member_md5[name], f"{name} differs from the published file (MD5)")

    def fetch(self, folder: Path, begin: Begin) -> None:
        """Download the archive and unpack it to `folder`, unless that holds all members as published.

        Raises
        ------
        DataUnavailable
            The archive could not be had from any of its addresses, or the folder cannot be written to.
        """
        if self._is_whole(folder):
            return
        archive = download(self.archive, folder.parent, begin(self.archive.name, self.archive.size))
        extract(archive, self.names, folder)
        archive.unlink(missing_ok=True)

    def _is_whole(self, folder: Path) -> bool:
        try:
            return not self.missing(folder) and all(
                self.compare(folder / name, name).is_same for name in self.names
            )
        except DataUnavailable:
            return False


def read_records(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (records, 3, 32, 32) and labels (records,) of one file, uint8.

    Raises
    ------
    DataUnavailable
        The file cannot be read, its size is no multiple of 3,073 bytes, or a label is above 9.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataUnavailable(f"{path} cannot be read: {error.strerror or error}") from error
    if content.size == 0 or content.size % RECORD:
        raise DataUnavailable(
            f"{path} is truncated or corrupt: expected a multiple of {RECORD:,} bytes, "
            f"found {content.size:,}; get the file again"
        )
    records = content.reshape(-1, RECORD)
    labels, pixels = records[:, 0], records[:, 1:]
    if labels.max() > 9:
        raise DataUnavailable(
            f"{path} is corrupt: expected labels 0 to 9, found {labels.max()}; get the file again"
        )
    return pixels.reshape(-1, *IMAGE), labels


def _missing_notes(found: list[str], missing: tuple[str, ...], samples: int) -> list[str]:
    """Say by number which training batches are here and which not, and whether the test batch is missing."""
    absent = [_number(name) for name in missing if name != TEST]
    notes = []
    if absent:
        have = f"batch {_number(found[0])}" if len(found) == 1 else f"batches {_listed(map(_number, found))}"
        notes.append(
            f"of the set's 5 training batches only {have} "
            f"({samples:,} samples) {'is' if len(found) == 1 else 'are'} here, {_listed(absent)} "
            f"{'is' if len(absent) == 1 else 'are'} missing"
        )
    return notes + ([f"{TEST} missing, no test data"] if TEST in missing else [])


def _listed(words: Iterable[str]) -> str:
    """1; 1 and 2; 1, 2 and 3."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _size_notes(names: list[str], counts: list[int]) -> list[str]:
    return [
        f"{name} holds {count:,} samples, the published one {RECORDS:,}"
        for name, count in zip(names, counts, strict=True)
        if count != RECORDS
    ]


def _number(name: str) -> str:
    return name.removeprefix("data_batch_").removesuffix(".bin")


CIFAR10_SET = CifarSet(CIFAR10, CIFAR10_MEMBER_MD5)
