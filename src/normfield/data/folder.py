"""Where named data sets are looked for: the folder that NORMFIELD_DATA names, then the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

import pooch

VARIABLE = "NORMFIELD_DATA"
OFFLINE = "NORMFIELD_OFFLINE"


def data_folder() -> Path | None:
    """Return the folder that NORMFIELD_DATA names, or None where it is not set."""
    named = os.environ.get(VARIABLE, "")
    return Path(named).expanduser() if named else None


def cache_folder() -> Path:
    """Return the folder in the user's cache into which downloads go; it may not exist yet."""
    return Path(pooch.os_cache("normfield"))


def is_offline() -> bool:
    """Say whether NORMFIELD_OFFLINE forbids downloads: set, and neither empty nor 0."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


def first_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of `names` that is a file in `folder`, or None; one that may not be looked at is not there."""
    return next((folder / name for name in names if os.path.isfile(folder / name)), None)
