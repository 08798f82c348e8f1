"""Reader of IDX files of unsigned bytes, the format of MNIST; plain or gzip, found by content, never pickle.

An IDX file is big-endian: two zero bytes, the type (8: unsigned byte), the number of dimensions, each
dimension as 32 bits, then the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from normfield.errors import DataUnavailable

_UNSIGNED_BYTE = 8
_GZIP = b"\x1f\x8b"
_MOST_BYTES = 2**30


def read_content(path: Path) -> bytes:
    """Return the bytes of a file, decompressed where they are gzip.

    Raises
    ------
    DataUnavailable
        The file is missing or not readable, its gzip data are corrupt or truncated, or it holds over 1 GiB.
    """
    try:
        with path.open("rb") as start:
            compressed = start.read(2) == _GZIP
        with gzip.open(path) if compressed else path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except EOFError as error:
        raise DataUnavailable(f"{path} is truncated: its gzip data end early; get the file again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataUnavailable(f"{path} is corrupt: {error}; get the file again") from error
    except OSError as error:
        raise DataUnavailable(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > _MOST_BYTES:
        raise DataUnavailable(
            f"{path} is no IDX file that this reader takes: it holds over {_MOST_BYTES:,} bytes"
        )
    return content


def parse_idx(content: bytes, path: Path) -> np.ndarray:
    """Return the array that the bytes of an IDX file hold, uint8, in the file's own shape.

    Raises
    ------
    DataUnavailable
        Another format or value type, or not as many bytes as the dimensions say; the message names `path`.
    """
    if len(content) < 4 or content[:2] != b"\x00\x00" or content[2] != _UNSIGNED_BYTE or content[3] == 0:
        raise DataUnavailable(
            f"{path} is no IDX file of unsigned bytes: expected it to begin with 00 00 08 and the number of "
            f"dimensions, found {content[:4].hex(' ') or 'nothing'}"
        )
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise DataUnavailable(
            f"{path} is truncated: expected a header of {header} bytes, found {len(content)}"
        )
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "corrupt"
        raise DataUnavailable(
            f"{path} is {fault}: expected {expected:,} bytes for shape {shape}, found {len(content):,}; "
            "get the file again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
