"""Getting published files: mirror after mirror, each file kept only whole and with the published checksum."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

import pooch
import requests
import urllib3

from normfield.data.published import PublishedFile
from normfield.errors import DataUnavailable

_CHUNK = 2**16
_TIMEOUT = 30.0  # seconds without a byte

Watch: TypeAlias = Callable[[int], object]
"""Told how many bytes of the file are here, as they come."""


class _Unfit(Exception):
    """What a server sent is not the file."""


def download(file: PublishedFile, folder: Path, watch: Watch) -> Path:
    """Get one file into `folder`; one that is there with the published SHA-256 is left alone, another replaced.

    The body goes to a temporary file beside it, which gets the file's name once its checksum is right, and is
    removed whatever else happens, Ctrl-C included.

    Raises
    ------
    DataUnavailable
        No mirror has the file as published (each mirror's fault is named), or the folder cannot be written to.
    """
    faults: list[str] = []
    for url in file.urls:
        try:
            with _quiet_pooch():
                _retrieve(url, file, folder, watch)
            return folder / file.name
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError, _Unfit) as error:
            faults.append(f"{urlsplit(url).netloc}: {_fault(error)}")
        except OSError as error:
            raise DataUnavailable(f"{folder} cannot be written to: {error.strerror or error}") from error
    raise DataUnavailable(f"{file.name} could not be downloaded: {'; '.join(faults)}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _retrieve(url: str, file: PublishedFile, folder: Path, watch: Watch) -> None:
    pooch.retrieve(
        url,
        known_hash=f"sha256:{file.sha256}",
        fname=file.name,
        path=folder,
        downloader=cast(Any, _Downloader(file.size, watch)),
    )


class _Downloader:
    """What pooch calls with an address and a temporary file: one GET, its body written as it comes."""

    def __init__(self, size: int, watch: Watch) -> None:
        self._size, self._watch = size, watch

    def __call__(self, url: str, output_file: Any, pooch: object) -> None:
        with (
            requests.get(
                url, stream=True, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"}
            ) as response,
            open(output_file, "wb") as into,
        ):
            response.raise_for_status()
            here = 0
            # Not iter_content, which would unpack a .gz that its server calls compressed in transit.
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                here += len(chunk)
                if here > self._size:
                    raise _Unfit(f"the body is longer than the {self._size:,} bytes of the published file")
                into.write(chunk)
                self._watch(here)
        if here < self._size:
            raise _Unfit(_ended(here, self._size))


def _ended(here: int, size: int) -> str:
    return f"the body ended after {here:,} of {size:,} bytes"


def _fault(error: Exception) -> str:
    """What went wrong with one mirror, in a few words."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}".rstrip()
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"no answer within {_TIMEOUT:g} s"
    if isinstance(error, requests.ConnectionError):
        return f"no connection ({_cause(error)})"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return f"the connection broke off ({_cause(error)})"
    if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
        return "what came has another SHA-256 than the published file"
    return " ".join(str(error).split())


def _cause(error: BaseException) -> str:
    """The words of the operating system at the bottom of a chain of errors, else its last words."""
    deepest: BaseException = error
    while (inner := deepest.__cause__ or deepest.__context__) is not None:
        deepest = inner
        if isinstance(deepest, OSError) and deepest.strerror:
            break
    words = deepest.strerror if isinstance(deepest, OSError) and deepest.strerror else str(deepest)
    return " ".join(words.split()) or type(deepest).__name__


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Keep pooch from writing to standard error; what it would say is said here."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
