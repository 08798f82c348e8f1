"""Reader of ``.npz`` files with inputs and targets; never pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from normfield.data.dataset import DataSet
from normfield.data.given import TEST_NAMES, Form, from_pair, pair_in
from normfield.errors import DataUnavailable, InvalidInput


def from_npz(path: Path, classes: int | None, name: str | None = None, form: Form | None = None) -> DataSet:
    """Read inputs and targets, or x and y, and where they are there test_inputs and test_targets.

    Raises
    ------
    DataUnavailable
        The file is missing, not readable, truncated or corrupt.
    InvalidInput
        It lacks those arrays, or holds Python objects.
    """
    arrays = read_arrays(path)
    inputs, targets = pair_in(arrays, str(path))
    test = tuple(arrays[key] for key in TEST_NAMES if key in arrays)
    if len(test) == 1:
        raise InvalidInput(
            expected=f"{' and '.join(TEST_NAMES)} in {path}, or neither", got="only one of them"
        )
    both = (test[0], test[1]) if test else None
    return from_pair(inputs, targets, name or path.stem, classes, form, test=both)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of a file, by name."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise DataUnavailable(f"{path} not found: no such file; check the path") from error
    except OSError as error:
        raise DataUnavailable(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise _refused(path, error) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        TypeError,
        AttributeError,
        NotImplementedError,
        MemoryError,
    ) as error:
        raise _corrupt(path) from error


def _refused(path: Path, error: ValueError) -> InvalidInput | DataUnavailable:
    """Tell an archive of Python objects from a file that is no archive."""
    if "\0" in str(path):
        return DataUnavailable(f"{str(path)!r} not found: no such file; check the path")
    if zipfile.is_zipfile(path) and "allow_pickle" in str(error):
        return InvalidInput(
            expected=f"arrays of numbers in {path}",
            got="Python objects, which are never unpickled",
            instead="save them again as arrays of numbers",
        )
    return _corrupt(path)


def _corrupt(path: Path) -> DataUnavailable:
    return DataUnavailable(
        f"{path} is truncated or corrupt: expected an archive written by numpy.savez, found "
        f"{path.stat().st_size:,} bytes of something else; write the file again"
    )
