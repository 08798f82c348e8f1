"""The digits inside the package: 1,797 images of 8×8 pixels with values 0 to 16.

They are the test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998),
UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0, in the original order;
see ``digits.LICENSE.txt``. The first 1,437 are for training, the last 360 for test, so ``samples_total`` is
1,797.
"""

from __future__ import annotations

import hashlib
import io
from importlib.resources import files

import numpy as np

from normfield.data.stored import Stored
from normfield.errors import DataUnavailable

SHA256 = "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"
TRAINING = 1437


def read_digits() -> Stored:
    """Read the packaged digits.

    Raises
    ------
    DataUnavailable
        The packaged file is missing, or its SHA-256 is not the one it was made with.
    """
    file = files("normfield.data") / "digits.npz"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataUnavailable(
            f"{file} cannot be read: {error.strerror or error}; install normfield again"
        ) from error
    return parse_digits(content, str(file))


def parse_digits(content: bytes, where: str) -> Stored:
    """Split the packaged bytes into training and test images, once their SHA-256 is the expected one."""
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DataUnavailable(
            f"{where} is corrupt: expected SHA-256 {SHA256[:12]}…, found {found[:12]}…; "
            "install normfield again"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images, labels = arrays["images"][:, None], arrays["labels"]
    return Stored(images[:TRAINING], labels[:TRAINING], images[TRAINING:], labels[TRAINING:], len(images))
