"""Taking the expected members, and nothing else, out of a ``.tar.gz``."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

from normfield.errors import DataUnavailable


def extract(archive: Path, members: tuple[str, ...], folder: Path) -> None:
    """Write the regular files ``folder.name/member`` of an archive to ``folder/member``.

    Paths are made here, never taken from the archive. All members are unpacked beside `folder` first and get their
    places together, so that what is interrupted leaves nothing there.

    Raises
    ------
    DataUnavailable
        The archive is corrupt, or lacks a member; or `folder` cannot be written to.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
            _unpack(archive, {f"{folder.name}/{name}": Path(place, name) for name in members})
            folder.mkdir(exist_ok=True)
            for name in members:
                os.replace(Path(place, name), folder / name)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataUnavailable(f"{archive} is truncated or corrupt: {error}; get it again") from error
    except OSError as error:
        raise DataUnavailable(f"{folder} cannot be written to: {error.strerror or error}") from error


def _unpack(archive: Path, wanted: dict[str, Path]) -> None:
    """Write the wanted members where they are wanted, in one pass over the archive."""
    left = dict(wanted)
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            content = members.extractfile(member) if member.isreg() and member.name in left else None
            if content is not None:
                with content, left.pop(member.name).open("wb") as into:
                    shutil.copyfileobj(content, into)
    if left:
        raise DataUnavailable(f"{archive} lacks {', '.join(left)}; get it again")
