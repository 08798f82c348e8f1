"""How a running sweep is shown: a bar on a terminal, now and then a line elsewhere, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from normfield.sweep.progress import Progress

_SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def shown_sweep(quiet: bool = False) -> Iterator[Callable[[Progress], object]]:
    """A function that shows how far a sweep is for as long as the body runs.

    On a terminal a bar with trials done, diverged and failed so far, rate and time left; in a log a line every half
    minute; nothing when quiet.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _ignored if quiet else _Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(), MofNCompleteColumn(), TextColumn("trials{task.fields[words]} ·"), TimeElapsedColumn()
    )  # fmt: skip
    with Bar(*columns, console=console, transient=True) as bar:
        yield _Drawn(bar)


class _Drawn:
    """A bar that follows a sweep; it appears with the first news."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, words="")

    def __call__(self, news: Progress) -> None:
        self._bar.update(self._task, completed=news.finished, total=news.trials, words=_words(news))


class _Lines:
    """A line now and then, the first after half a minute."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES

    def __call__(self, news: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
            print(news, file=sys.stderr, flush=True)


def _ignored(news: Progress) -> None:
    """Nobody looks."""


def _words(news: Progress) -> str:
    """All of the news but what the bar shows already."""
    _, *others = str(news).split(" trials")
    return " trials".join(others)
