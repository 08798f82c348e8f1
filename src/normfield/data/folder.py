"""Where named data sets are looked for: the folder that NORMFIELD_DATA names."""

from __future__ import annotations

import os
from pathlib import Path

from normfield.errors import DataUnavailable

VARIABLE = "NORMFIELD_DATA"


def data_folder() -> Path | None:
    """Return the folder that NORMFIELD_DATA names, or None where it is not set."""
    named = os.environ.get(VARIABLE, "")
    return Path(named).expanduser() if named else None


def required_folder(looked_for: str) -> Path:
    """Return the data folder, or say that it is not set and what was looked for in it."""
    folder = data_folder()
    if folder is None:
        raise DataUnavailable(
            f"{looked_for} not found: {VARIABLE} is not set; set it to the folder that holds it"
        )
    return folder


def first_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of `names` that is a file in `folder`, or None; one that may not be looked at is not there."""
    return next((folder / name for name in names if os.path.isfile(folder / name)), None)
