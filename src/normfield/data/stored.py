"""What a reader of a named set hands back: bytes as stored, before any of them becomes a float."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from normfield.data.checks import check_enough
from normfield.data.dataset import DataSet


@dataclass(frozen=True)
class Comparison:
    """Whether a file is the published one (None: that cannot be told), and words for where it is not."""

    is_same: bool | None
    words: str


@dataclass(frozen=True, eq=False)
class Stored:
    """Images as uint8 (samples, channels, rows, columns), labels as uint8 (samples,)."""

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray | None
    test_labels: np.ndarray | None
    samples_total: int
    note: str = ""


def to_dataset(stored: Stored, name: str, classes: int, samples: int | None) -> DataSet:
    """Turn the first `samples` training images, and all test images, into tensors of the stored values."""
    if samples is not None:
        check_enough(samples, len(stored.images), f"{name} for training")
    test_images, test_labels = stored.test_images, stored.test_labels
    return DataSet(
        name,
        _floats(stored.images[:samples]),
        _labels(stored.labels[:samples]),
        classes,
        None if test_images is None else _floats(test_images),
        None if test_labels is None else _labels(test_labels),
        samples_total=stored.samples_total,
        note=stored.note,
    )


def _floats(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float32))


def _labels(labels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(labels.astype(np.int64))
