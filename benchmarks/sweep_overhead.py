"""What a sweep costs besides its trials: for each trial, on every engine, and for 10⁵ trials on 1,000 workers.

The trials train nothing and give the columns and curves of a training run. Measured are the time of the clock from the
first group to the last commit, the driver's processor seconds, the part of its time spent in the store, and bytes on
disk. A straight line through groups of different sizes parts the cost of a group from the cost of a trial; from it, and
from the time that the engine takes to find the one of 1,000 workers that has answered, follows what a driver of 1,000
workers needs. That last table is computed, not run.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np
import ray
from outcome import Outcome, Verdict, arguments, conclude_all
from sweep_tasks_of_nothing import Nothing

from normfield.sweep import Grid, Store
from normfield.sweep.cutting import cut
from normfield.sweep.drive import drive
from normfield.sweep.engines import Engine, Finished, Job, engine_named
from normfield.sweep.engines.ray_cluster import RayWorkers, _Worker

CONTENDERS = (("inline", 1), ("processes", 2), ("processes", 4), ("ray", 2), ("ray", 4))
TOGETHER = (1, 16, 64)
TRIALS, WORKERS = 100_000, 1_000
MINUTE = 60.0


@dataclass(frozen=True)
class Cost:
    """Of one sweep, in seconds and bytes for each trial."""

    engine: str
    workers: int
    together: int
    start: float
    clock: float
    processor: float
    store: float
    size: float

    def row(self) -> dict[str, str]:
        """Its line of the table."""
        return {
            "engine": f"{self.engine}, {self.workers} worker{'s' * (self.workers > 1)}",
            "trials in a group": f"{self.together}",
            "start (s)": f"{self.start:.2f}",
            "clock (ms a trial)": f"{1e3 * self.clock:.3f}",
            "driver's processor (ms)": f"{1e3 * self.processor:.3f}",
            "in the store (ms)": f"{1e3 * self.store:.3f}",
            "on disk (bytes)": f"{self.size:.0f}",
        }


class TimedStore:
    """A store that adds up the seconds spent in it."""

    def __init__(self, store: Store) -> None:
        self._store, self.seconds = store, 0.0

    def pending(self) -> Iterator[Any]:
        """Groups to run; the time of reading them counts."""
        groups = self._store.pending()
        while (group := self._timed(next, groups, None)) is not None:
            yield group

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return lambda *given: self._timed(method, *given)

    def _timed(self, call: Any, *given: Any) -> Any:
        begin = perf_counter()
        try:
            return call(*given)
        finally:
            self.seconds += perf_counter() - begin


def costs(engine: str, workers: int, groups: int) -> list[Cost]:
    """One engine, started once, given a sweep for each size of group."""
    crew = engine_named(engine, workers=workers, address=None, gpus_per_worker=0.0, threads=1)
    begin = perf_counter()
    crew.start(Nothing(1))
    start = perf_counter() - begin
    try:
        _sweep(crew, 1, 4 * workers)
        return [Cost(engine, workers, each, start, *_sweep(crew, each, groups)) for each in TOGETHER]
    finally:
        crew.stop()


def _sweep(crew: Engine, together: int, groups: int) -> tuple[float, float, float, float]:
    """Seconds of the clock, of the processor and in the store, and bytes, each for a trial."""
    task, points = Nothing(together), Grid({"x": range(groups * together)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s.db")
        made = {"axes": ("x",), "points": points, "groups": cut(task, points, together)}
        with Store.create(path, **made, keys=map(task.key, points), settings=task.settings) as store:
            timed: Any = TimedStore(store)
            begin, begin_processor = perf_counter(), process_time()
            drive(timed, crew)
            spent = (perf_counter() - begin, process_time() - begin_processor, timed.seconds)
            assert store.status().complete
        size = path.stat().st_size
    clock, processor, in_store = (seconds / len(points) for seconds in spent)
    return clock, processor, in_store, size / len(points)


def line_through(found: Sequence[Cost], name: str) -> tuple[float, float]:
    """Cost of a group and of each trial in it, by least squares over the sizes, relative errors alike."""
    together = np.array([cost.together for cost in found], dtype=float)
    of_group = np.array([getattr(cost, name) for cost in found]) * together
    weights = 1 / of_group
    basis = np.stack([np.ones_like(together), together], axis=1)
    solution, *_ = np.linalg.lstsq(basis * weights[:, None], of_group * weights, rcond=None)
    return max(float(solution[0]), 0.0), max(float(solution[1]), 0.0)


def seconds_to_watch(workers: int, rounds: int = 200) -> float:
    """What the engine takes to find the one of so many workers that has answered, beside what a few workers cost."""
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        engine, job = RayWorkers(workers, 1), Job(0, [])
        asleep = ray.remote(num_cpus=1)(_sleep)
        answer = ray.put(Finished(job, ()))
        waiting = [asleep.remote(3600.0) for _ in range(workers - 1)]
        engine._crew = [_Worker(None, asked, ready=True, job=job) for asked in [*waiting, answer]]
        begin = perf_counter()
        for _ in range(rounds):
            engine._crew[-1].job = job
            assert engine.busy == workers
            assert len(engine.wait()) == engine.free == 1
        return (perf_counter() - begin) / rounds
    finally:
        ray.shutdown()


def _sleep(seconds: float) -> None:
    sleep(seconds)


def outlook(found: Sequence[Cost], watching: float) -> tuple[list[dict[str, str]], float]:
    """What `TRIALS` trials on `WORKERS` Ray workers need; and the driver's busy part with groups of a minute."""
    processor, size = line_through(found, "processor"), np.mean([cost.size for cost in found])
    in_store = line_through(found, "store")
    rows = []
    busy = 0.0
    for together in TOGETHER:
        groups = TRIALS / together
        driver = processor[0] + processor[1] * together + watching
        store = in_store[0] + in_store[1] * together
        # The processor's seconds hold those of the store but where it waits for the disk.
        shortest = WORKERS * max(driver, store)
        busy = shortest / MINUTE
        rows.append(
            {
                "trials in a group": f"{together}",
                "groups": f"{groups:,.0f}",
                "driver (s)": f"{groups * driver:.0f}",
                "of it in the store (s)": f"{groups * store:.0f}",
                "store (MB)": f"{TRIALS * size / 1e6:.0f}",
                "shortest group that keeps all workers busy (s)": f"{shortest:.1f}",
            }
        )
    return rows, busy


def main() -> int:
    """Measure every engine, and look from Ray's figures to a large cluster."""
    parser = arguments(__doc__)
    parser.add_argument("--groups", type=int, default=300, help="in each sweep (default: %(default)s)")
    asked = parser.parse_args()
    found = [cost for engine, workers in CONTENDERS for cost in costs(engine, workers, asked.groups)]
    watching = seconds_to_watch(WORKERS)
    rows, busy = outlook([cost for cost in found if (cost.engine, cost.workers) == ("ray", 4)], watching)
    measured = Outcome(
        f"Overhead of a sweep, {asked.groups} groups of trials that train nothing",
        [cost.row() for cost in found],
        [_inline_limit(found)],
    )
    looked = Outcome(
        f"{TRIALS:,} trials on {WORKERS:,} Ray workers, computed from the above with 4 workers and from "
        f"{1e3 * watching:.1f} ms to find which of {WORKERS:,} workers has answered",
        rows,
        [
            Verdict(
                f"driver's busy part, {WORKERS:,} workers, groups of {TOGETHER[-1]} and a minute",
                busy,
                "at most",
                0.5,
            )
        ],
    )
    return conclude_all([measured, looked], asked.json)


def _inline_limit(found: Sequence[Cost]) -> Verdict:
    """Next to a training run of a tenth of a second, a hundredth of it."""
    (inline,) = (cost for cost in found if cost.engine == "inline" and cost.together == TOGETHER[-1])
    return Verdict(f"inline, groups of {TOGETHER[-1]}: ms for each trial", 1e3 * inline.clock, "at most", 1.0)


if __name__ == "__main__":
    sys.exit(main())
