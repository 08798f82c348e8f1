"""A page on disk, whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from normfield.errors import InvalidInput
from normfield.report.page import Page, render


def write(page: Page, path: str | os.PathLike[str]) -> Path:
    """Write the page to a file, which is replaced in one step: never half a file, also when it fails.

    Parameters
    ----------
    page : Page
    path : path-like
        The file; its folder must exist.

    Returns
    -------
    Path
        The absolute path of the file.

    Raises
    ------
    InvalidInput
        If the folder is missing or cannot be written, or the path is a folder.
    """
    target = checked_target(path)
    document = render(page)
    beside = target.with_name(f".normfield-{secrets.token_hex(6)}.tmp")
    try:
        _write_through(beside, document)
        os.replace(beside, target)
    except OSError as cause:
        raise InvalidInput(
            expected=f"a path that can be written, {target}",
            got=cause.strerror or str(cause),
            instead="choose another",
        ) from cause
    finally:
        beside.unlink(missing_ok=True)
    return target


def checked_target(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a page that can be written there; ask before long work, not after it.

    Raises
    ------
    InvalidInput
        If the folder is missing or cannot be written, or the path is a folder.
    """
    target = Path(path).absolute()
    if not os.path.isdir(target.parent):
        raise InvalidInput(
            expected=f"an existing folder for {target.name}",
            got=f"{target.parent}",
            instead="make the folder first",
        )
    if os.path.isdir(target):
        raise InvalidInput(
            expected="the path of a file", got=f"the folder {target}", instead="add a file's name"
        )
    if not os.access(target.parent, os.W_OK):
        raise InvalidInput(
            expected=f"a folder that can be written for {target.name}",
            got=f"{target.parent}",
            instead="choose another",
        )
    return target


def _write_through(path: Path, document: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())
