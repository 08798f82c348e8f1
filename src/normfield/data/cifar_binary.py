"""CIFAR-10 from its binary distribution: records of 1 label byte and 3,072 pixel bytes (3 channels of 32×32).

CIFAR-10 is by A. Krizhevsky (2009). A checksum was published for the whole archive only, so sizes and
labels are what can be checked of a single file.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from normfield.data.stored import Stored
from normfield.errors import DataUnavailable

SUBFOLDER = "cifar-10-batches-bin"
TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
TRAINING_TOTAL = 50_000
RECORDS = 10_000
IMAGE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32


def read_cifar10(root: Path) -> Stored:
    """Read the training batches in the subfolder ``cifar-10-batches-bin`` of `root`, and the test batch.

    Batches that are missing are named in the note; ``samples_total`` stays 50,000.

    Raises
    ------
    DataUnavailable
        No training batch is there, or one found is truncated or corrupt.
    """
    folder = root / SUBFOLDER
    missing = missing_cifar10(folder)
    found = [name for name in TRAINING if name not in missing]
    if not found:
        raise DataUnavailable(
            f"cifar10 not found: {folder} holds none of {TRAINING[0]} … {TRAINING[-1]}; "
            f"set NORMFIELD_DATA to a folder with them in its subfolder {SUBFOLDER}"
        )
    records = [read_records(folder / name) for name in found]
    images, labels = (np.concatenate(parts) for parts in zip(*records, strict=True))
    test_images, test_labels = (None, None) if TEST in missing else read_records(folder / TEST)
    notes = [*_missing_notes(found, missing), *_size_notes(found, [len(part[1]) for part in records])]
    return Stored(images, labels, test_images, test_labels, TRAINING_TOTAL, "; ".join(notes))


def missing_cifar10(folder: Path) -> tuple[str, ...]:
    """Return the names of the CIFAR-10 files that `folder` lacks."""
    return tuple(name for name in (*TRAINING, TEST) if not os.path.isfile(folder / name))


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


def _missing_notes(found: list[str], missing: tuple[str, ...]) -> list[str]:
    """Say by number which training batches are here and which not, and whether the test batch is missing."""
    absent = [_number(name) for name in missing if name != TEST]
    notes = []
    if absent:
        have = ", ".join(_number(name) for name in found)
        notes.append(f"training batches {have} of 5 found; {', '.join(absent)} missing")
    return notes + ([f"{TEST} missing, no test data"] if TEST in missing else [])


def _size_notes(names: list[str], counts: list[int]) -> list[str]:
    return [
        f"{name} holds {count:,} samples, the published one {RECORDS:,}"
        for name, count in zip(names, counts, strict=True)
        if count != RECORDS
    ]


def _number(name: str) -> str:
    return name.removeprefix("data_batch_").removesuffix(".bin")
