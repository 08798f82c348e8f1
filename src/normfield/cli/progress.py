"""Progress of long work: one line that changes, on standard error, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shown_progress() -> Iterator[Callable[[str], object]]:
    """A function that shows its line beside a spinner for as long as the body runs; silent where nobody looks."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as status:
        yield lambda line: status.update(line)
