"""Progress of long work: one line that changes, on standard error, on a terminal only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class _Line:
    """What is being done, and how long it may still take, as of the moment it is drawn."""

    words: str
    deadline: float | None

    def __rich__(self) -> str:
        if self.deadline is None:
            return self.words
        return f"{self.words} · {max(self.deadline - time.monotonic(), 0):.0f} s left"


@contextmanager
def shown_progress(deadline: float | None = None) -> Iterator[Callable[[str], object]]:
    """A function that shows its line beside a spinner for as long as the body runs; silent where nobody looks.

    With a deadline, a reading of ``time.monotonic()``, the line counts down to it.
    """
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(_Line("starting", deadline)) as status:  # type: ignore[arg-type]
        yield lambda line: status.update(_Line(line, deadline))  # type: ignore[arg-type]
