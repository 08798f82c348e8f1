"""MNIST and sets in its form: four IDX files, gzip or plain, 60,000 + 10,000 images of 28×28 pixels from 0 to 255.

MNIST is by Y. LeCun, C. Cortes and C. J. C. Burges; Fashion-MNIST by H. Xiao, K. Rasul and R. Vollgraf (2017).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from normfield.data.download import download, sha256_of
from normfield.data.download_display import Begin
from normfield.data.folder import first_file
from normfield.data.idx import parse_idx, read_content
from normfield.data.published import FASHION_MNIST, MNIST, MNIST_CONTENT_MD5, PublishedFile
from normfield.data.stored import Comparison, Stored
from normfield.errors import DataUnavailable

TRAINING = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class IdxSet:
    """A set in the form of MNIST.

    Parameters
    ----------
    title
        What messages call it.
    subfolder
        Of the data folder, where its files are; also the set's name.
    files
        The published .gz files.
    content_md5
        MD5 of what they hold, where it is known.
    """

    title: str
    subfolder: str
    files: tuple[PublishedFile, ...]
    content_md5: Mapping[str, str]
    names = TRAINING + TEST

    @property
    def download_size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)

    def read(self, root: Path) -> Stored:
        """Read the set from its subfolder of `root`; missing test files are named in the note.

        Raises
        ------
        DataUnavailable
            A training file is missing, or any file found is truncated, corrupt or of another format or shape.
        """
        folder = root / self.subfolder
        missing = self.missing(folder)
        if not self.enough(missing):
            raise DataUnavailable(
                f"{self.subfolder} not found: {folder} lacks {', '.join(f'{name}[.gz]' for name in missing)}"
            )
        images, labels, strange = self._read_part(folder, TRAINING)
        notes = [f"test data not used, {', '.join(missing)} missing"] if missing else []
        test_images, test_labels, strange_test = (
            (None, None, []) if missing else self._read_part(folder, TEST)
        )
        notes += strange + strange_test
        return Stored(images, labels, test_images, test_labels, len(images), "; ".join(notes))

    def missing(self, folder: Path) -> tuple[str, ...]:
        """Return the names of the files that `folder` lacks, both plain and gzip."""
        return tuple(name for name in TRAINING + TEST if self.find(folder, name) is None)

    def enough(self, missing: tuple[str, ...]) -> bool:
        """Say whether there is enough to train on without the files that are missing."""
        return not set(TRAINING) & set(missing)

    def find(self, folder: Path, name: str) -> Path | None:
        """Return the file of that name, gzip before plain."""
        return first_file(folder, (f"{name}.gz", name))

    def compare(self, path: Path, name: str) -> Comparison:
        """Compare a file that is there with the published one.

        Raises
        ------
        DataUnavailable
            It cannot be read, or is truncated, corrupt or of another format.
        """
        content = read_content(path)
        parse_idx(content, path)
        return self._compare(path, name, content)

    def fetch(self, folder: Path, begin: Begin) -> None:
        """Download every file that `folder` does not hold as published.

        Raises
        ------
        DataUnavailable
            A file could not be had from any of its addresses, or the folder cannot be written to.
        """
        for file in self.files:
            download(file, folder, begin(file.name, file.size))

    def _compare(self, path: Path, name: str, content: bytes) -> Comparison:
        known = self.content_md5.get(name)
        if known is not None:
            is_same = hashlib.md5(content, usedforsecurity=False).hexdigest() == known
            return Comparison(is_same, f"{name} differs from the published file (MD5)")
        published = {file.name: file.sha256 for file in self.files}.get(path.name)
        if published is None:
            return Comparison(None, f"{name} not compared: only the .gz file has a published checksum")
        return Comparison(
            sha256_of(path) == published, f"{path.name} differs from the published file (SHA-256)"
        )

    def _read_part(self, folder: Path, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return images, labels, and how their files differ from the published ones."""
        (image_file, images, image_found), (label_file, labels, label_found) = (
            self._read_file(folder, name) for name in names
        )
        if images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
            raise DataUnavailable(
                f"{image_file} is not {self.title}: expected images of 28×28, found shape {images.shape}"
            )
        if labels.shape != (len(images),):
            raise DataUnavailable(
                f"{label_file} does not fit its images: expected {len(images):,} labels, "
                f"found shape {labels.shape}"
            )
        if labels.max() > 9:
            raise DataUnavailable(f"{label_file} is corrupt: expected labels 0 to 9, found {labels.max()}")
        return (
            images[:, None],
            labels,
            [found.words for found in (image_found, label_found) if not found.is_same],
        )

    def _read_file(self, folder: Path, name: str) -> tuple[Path, np.ndarray, Comparison]:
        """Return a file's path, its array, and how it compares with the published one."""
        path = self.find(folder, name) or folder / name
        content = read_content(path)
        return path, parse_idx(content, path), self._compare(path, name, content)


MNIST_SET = IdxSet("MNIST", "mnist", MNIST, MNIST_CONTENT_MD5)
FASHION_MNIST_SET = IdxSet("Fashion-MNIST", "fashion-mnist", FASHION_MNIST, {})
