"""Descriptions in files."""

from __future__ import annotations

import os
from pathlib import Path

from normfield.errors import InvalidInput
from normfield.network.network import Network


def read_network(path: str | os.PathLike[str]) -> Network:
    """The network that a ``.toml`` or ``.json`` file describes.

    Parameters
    ----------
    path
        A file as `Network.to_toml` or `Network.to_json` writes it, or as written by hand.

    Raises
    ------
    InvalidInput
        There is no such file, its name ends otherwise, or something in it describes no network; the message
        names the file and the place.
    """
    file = Path(path)
    readers = {".toml": Network.from_toml, ".json": Network.from_json}
    if file.suffix not in readers:
        raise InvalidInput(expected="a description in a .toml or .json file", got=str(file))
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidInput(expected=f"a readable file {file}", got=str(reason)) from None
    try:
        return readers[file.suffix](text)
    except InvalidInput as refused:
        raise InvalidInput(
            expected=refused.expected, got=f"{refused.got} in {file}", instead=refused.instead
        ) from None
