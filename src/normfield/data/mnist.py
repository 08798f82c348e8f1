"""MNIST from its four IDX files, gzip or plain: 60,000 + 10,000 digits of 28×28 pixels, values 0 to 255.

MNIST is by Y. LeCun, C. Cortes and C. J. C. Burges.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from normfield.data.folder import first_file
from normfield.data.idx import parse_idx, read_content
from normfield.data.stored import Stored
from normfield.errors import DataUnavailable

SUBFOLDER = "mnist"
TRAINING = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

# MD5 of what the published .gz files hold, so that plain and recompressed copies are recognised as well.
CONTENT_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def read_mnist(root: Path) -> Stored:
    """Read MNIST from the subfolder ``mnist`` of `root`; missing test files are named in the note.

    Raises
    ------
    DataUnavailable
        A training file is missing, or any file found is truncated, corrupt or of another format or shape.
    """
    folder = root / SUBFOLDER
    missing = missing_mnist(folder)
    if any(name in missing for name in TRAINING):
        raise DataUnavailable(
            f"mnist not found: {folder} lacks {', '.join(f'{name}[.gz]' for name in missing)}; "
            f"set NORMFIELD_DATA to a folder with these in its subfolder {SUBFOLDER}"
        )
    images, labels, strange = _read_part(folder, TRAINING)
    notes = [f"test data not used, {', '.join(missing)} missing"] if missing else []
    test_images, test_labels, strange_test = (None, None, []) if missing else _read_part(folder, TEST)
    notes += [f"{name} differs from the published file (MD5)" for name in strange + strange_test]
    return Stored(images, labels, test_images, test_labels, len(images), "; ".join(notes))


def missing_mnist(folder: Path) -> tuple[str, ...]:
    """Return the names of the MNIST files that `folder` lacks, both plain and gzip."""
    return tuple(name for name in TRAINING + TEST if _find(folder, name) is None)


def _find(folder: Path, name: str) -> Path | None:
    return first_file(folder, (f"{name}.gz", name))


def _read_part(folder: Path, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return images, labels, and the names of files whose content is not the published one."""
    (image_file, images, images_known), (label_file, labels, labels_known) = (
        _read(folder, name) for name in names
    )
    if images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
        raise DataUnavailable(
            f"{image_file} is not MNIST: expected images of 28×28, found shape {images.shape}"
        )
    if labels.shape != (len(images),):
        raise DataUnavailable(
            f"{label_file} does not fit its images: expected {len(images):,} labels, "
            f"found shape {labels.shape}"
        )
    if labels.max() > 9:
        raise DataUnavailable(f"{label_file} is corrupt: expected labels 0 to 9, found {labels.max()}")
    known = zip(names, (images_known, labels_known), strict=True)
    return images[:, None], labels, [name for name, is_known in known if not is_known]


def _read(folder: Path, name: str) -> tuple[Path, np.ndarray, bool]:
    """Return a file's path, its array, and whether its content is the published one."""
    path = _find(folder, name) or folder / name
    content = read_content(path)
    known = hashlib.md5(content, usedforsecurity=False).hexdigest() == CONTENT_MD5[name]
    return path, parse_idx(content, path), known
