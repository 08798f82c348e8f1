"""The store of a sweep at a million trials: making it, appending results, status, tables out of it, memory, disk.

Each step is a process of its own, whose largest resident size is read at its end, libraries included. A trial has
three axes, seven result columns as a training has them and four curves of three epochs; groups have --group trials, and
every append writes the beginning of the group and its results in two transactions, as an engine does. Status is asked
by a process that opens the store for it.
"""

from __future__ import annotations

import math
import resource
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from outcome import Outcome as Table
from outcome import Verdict, arguments, conclude

from normfield.sweep import Grid, Outcome, Store
from normfield.sweep.points import point_key

CREATE, APPEND, STATUS = "create", "append", "status"
CSV, PARQUET, LINES, FRAME = "export .csv", "export .parquet", "export .jsonl", "to_frame"
SINGLE = "append, groups of one"


@dataclass(frozen=True)
class Step:
    """Seconds of a step, and the largest resident bytes of its process."""

    seconds: float
    resident: float


def grid(rows: int) -> Grid:
    """γ × η × seed, of at least so many points."""
    edge = math.ceil(rows ** (1 / 3))
    values = [0.01 * 1.07**i for i in range(edge)]
    return Grid({"gamma": values, "learning_rate": values, "seed": range(edge)})


def points(rows: int) -> Iterator[dict]:
    """The first of the grid."""
    return islice(iter(grid(rows)), rows)


def outcome(number: int) -> Outcome:
    """Like a training's: every seventh diverged, to NaN or infinity."""
    loss = 1 / (1 + number)
    diverged = number % 7 == 0
    last = (math.nan if number % 2 else math.inf) if diverged else loss
    return Outcome(
        {
            "status": "diverged" if diverged else "finished",
            "diverged_at": number % 1000 if diverged else None,
            "first_loss": 0.1 + loss,
            "final_loss": last,
            "test_loss": last,
            "test_accuracy": 1 - loss,
            "ended_worse": diverged,
        },
        {
            name: [loss, loss / 3, last]
            for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
        },
        seconds=0.1 + loss,
    )


def create(path: Path, rows: int, size: int) -> None:
    """A store without results."""
    groups = (range(first, min(first + size, rows)) for first in range(0, rows, size))
    Store.create(
        path,
        axes=list(grid(rows).axes),
        points=points(rows),
        groups=groups,
        keys=map(point_key, points(rows)),
        settings={"epochs": 3},
    ).close()


def append(path: Path) -> None:
    """Every group begun and committed."""
    number = 0
    with Store.open(path, write=True) as store:
        for group in store.pending():
            store.begin(group.number)
            store.commit(group.number, [outcome(number + i) for i in range(len(group))])
            number += len(group)


def status(path: Path) -> None:
    """Opened, asked, closed."""
    with Store.open(path) as store:
        if not store.status().complete:
            raise SystemExit("not all trials were committed")


def export(path: Path, suffix: str) -> None:
    """The table as a file, which is removed."""
    target = path.with_suffix(suffix)
    with Store.open(path) as store:
        store.export(target)
    target.unlink()


def frame(path: Path) -> None:
    """The table in memory."""
    with Store.open(path) as store:
        store.to_frame()


def _timed(call: Callable[..., None], given: Sequence[object]) -> Step:
    begin = perf_counter()
    call(*given)
    seconds = perf_counter() - begin
    unit = 1 if sys.platform == "darwin" else 1024
    return Step(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def alone(call: Callable[..., None], *given: object) -> Step:
    """The call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_timed, call, given).result()


def steps(folder: Path, asked: Namespace) -> tuple[dict[str, Step], int]:
    """Every step in its order, and the bytes of the full store."""
    path, single = folder / "sweep.db", folder / "single.db"
    found = {CREATE: alone(create, path, asked.rows, asked.group), APPEND: alone(append, path)}
    found[STATUS] = alone(status, path)
    for name, suffix in ((CSV, ".csv"), (PARQUET, ".parquet"), (LINES, ".jsonl")):
        found[name] = alone(export, path, suffix)
    found[FRAME] = alone(frame, path)
    create(single, asked.rows // 10, 1)
    found[SINGLE] = alone(append, single)
    return found, path.stat().st_size


def _row(name: str, step: Step, rows: int) -> dict[str, str]:
    counted = rows // 10 if name == SINGLE else rows
    return {
        "step": name,
        "trials": f"{counted:,}",
        "seconds": f"{step.seconds:.3f}",
        "trials/s": "" if name == STATUS else f"{counted / step.seconds:,.0f}",
        "resident MB": f"{step.resident / 1e6:.0f}",
    }


def _verdicts(found: dict[str, Step], rows: int, size: int) -> list[Verdict]:
    return [
        Verdict("append, trials/s", rows / found[APPEND].seconds, "at least", 5000),
        Verdict("status, s", found[STATUS].seconds, "at most", 1),
        *(Verdict(f"{name}, s", found[name].seconds, "at most", 60) for name in (CSV, PARQUET, LINES, FRAME)),
        Verdict("largest resident size, MB", max(s.resident for s in found.values()) / 1e6, "at most", 1000),
        Verdict("disk, bytes for each trial", size / rows, "at most", 500),
    ]


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=10**6, help="trials (default: %(default)s)")
    parser.add_argument("--group", type=int, default=20, help="trials in a group (default: %(default)s)")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        found, size = steps(Path(folder), asked)
    title = f"Store: {asked.rows:,} trials in groups of {asked.group}, {size / 1e6:,.0f} MB on disk"
    rows = [_row(name, step, asked.rows) for name, step in found.items()]
    return conclude(Table(title, rows, _verdicts(found, asked.rows, size)), asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
