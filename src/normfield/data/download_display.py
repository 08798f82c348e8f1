"""Progress of downloads on standard error, where a person looks at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Begin = Callable[[str, int], Callable[[int], object]]
"""Given a file's name and size, a function that is told how many bytes of it are here."""


def unseen(name: str, size: int) -> Callable[[int], object]:
    """Show nothing."""
    return lambda here: None


@contextmanager
def shown_downloads(quiet: bool = False) -> Iterator[Begin]:
    """A line with a bar, the size, the speed and the time left for each file; nothing where quiet or no terminal."""
    if quiet or not sys.stderr.isatty():
        yield unseen
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def begin(name: str, size: int) -> Callable[[int], object]:
            task = progress.add_task(name, total=size)
            return lambda here: progress.update(task, completed=here)

        yield begin
