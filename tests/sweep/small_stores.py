"""Small sweeps for tests of the store, and a driver of them that can be run as a process and killed."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from normfield.sweep import Group, Outcome, Store

STRANGE = (math.nan, math.inf, -math.inf, None, -0.0, 5e-324, 0.1 + 0.2, 1, 1.0, True, "nan", 2**80)


def make_store(path: Path, trials: int = 12, groups: Iterable[Sequence[int]] | None = None, **facts) -> Store:
    """Trials of two axes in groups of four, unless told otherwise."""
    points = [{"gamma": 0.1 * place, "seed": place} for place in range(trials)]
    return Store.create(
        path,
        axes=["gamma", "seed"],
        points=points,
        groups=[range(first, min(first + 4, trials)) for first in range(0, trials, 4)]
        if groups is None
        else groups,
        keys=[f"key-{place}" for place in range(trials)],
        settings={"epochs": 3},
        **facts,
    )


def outcome(seed: int) -> Outcome:
    """The same for the same seed; among many seeds every strange value, failures and divergences."""
    if seed % 11 == 10:
        return Outcome(error=f"seed {seed} cannot be built")
    values = {
        "status": "diverged" if seed % 5 == 0 else "finished",
        "loss": math.sin(seed) / 3,
        "strange": STRANGE[seed % len(STRANGE)],
    }
    curve = [math.cos(seed + epoch) / 7 for epoch in range(seed % 4)]
    return Outcome(values, {"train": curve, "odd": [None, math.nan, math.inf, *curve]}, seconds=0.25)


def outcomes(group: Group) -> list[Outcome]:
    """Those of a group's points."""
    return [outcome(int(point["seed"] or 0)) for point in group.points]


def drive(store: Store, pause: float = 0.0) -> None:
    """Run what is pending, as an engine does."""
    for group in store.pending():
        store.begin(group.number)
        store.commit(group.number, outcomes(group))
        time.sleep(pause)


def contents(store: Store) -> list[str]:
    """Every finished trial to the last bit, but for when and how long: a float's ``repr`` is exact."""
    return [repr(trial) for trial in store.results()]


if __name__ == "__main__":
    with Store.open(Path(sys.argv[1]), write=True) as opened:
        print("driving", flush=True)
        drive(opened, float(sys.argv[2]))
