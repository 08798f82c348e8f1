"""Peak memory of the top Gauss-Newton eigenvalue over that of one training step (forward, backward, SGD).

Each is measured in a fresh process, in two ways. "tensors" is the peak of torch's allocator, exact, as its profiler
records every allocation and release: in all, which is what a training step is said to take and what the limit is held
to, and above the model and its batch, which is the stricter reading. "resident size" is the growth of the largest
resident size of the process above model and batch, late imports and libraries' buffers included, for comparison.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from multiprocessing import get_context
from typing import TypeVar

import torch
from outcome import Outcome, Verdict, arguments, conclude
from torch.profiler import ProfilerActivity, profile
from yardstick import YARDSTICK, Problem, Size, problem

from normfield.measure import curvature

MIB = 2**20
WIDE = Size((784, 1024, 1024, 10), 4096)
Work = Callable[[Problem], object]
Reading = TypeVar("Reading")


def training_step(given: Problem) -> None:
    """Forward, backward and one step of plain SGD."""
    optimiser = torch.optim.SGD(given.parameters, lr=0.1)
    given.loss(given.model(given.inputs), given.labels).backward()
    optimiser.step()


def top_eigenvalue(given: Problem) -> None:
    """The call that the yardstick times."""
    curvature(given.model, (given.inputs, given.labels), loss="cross_entropy", kind="ggn", tolerance=1e-3)


@dataclass(frozen=True)
class Peak:
    """MiB of tensors during the work, model and batch included and not; and growth of the resident size."""

    total: float
    above: float
    resident: float

    def over(self, other: Peak) -> Peak:
        """Ratios to another's."""
        return Peak(self.total / other.total, self.above / other.above, self.resident / other.resident)


def _given_bytes(given: Problem) -> int:
    return sum(tensor.nbytes for tensor in (*given.parameters, given.inputs, given.labels))


def _allocations(recorded: profile) -> list:
    """The allocations (positive) and releases (negative) of the allocator, in order."""
    results = recorded.profiler.kineto_results if recorded.profiler else None
    events = [event for event in results.events() if event.name() == "[memory]"] if results else []
    return sorted(events, key=lambda event: event.start_ns())


def allocator_peak(work: Work, size: Size) -> tuple[float, float]:
    """Largest number of MiB held by tensors during the work, in all and above those held before."""
    given = problem(size, seed=0)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work(given)
    above = max(accumulate(event.nbytes() for event in _allocations(recorded)))
    return (above + _given_bytes(given)) / MIB, above / MIB


def resident_growth(work: Work, size: Size) -> float:
    """MiB by which the process's largest resident size grows during the work."""
    given = problem(size, seed=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work(given)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return grown * (1 if sys.platform == "darwin" else 1024) / MIB


def _alone(meter: Callable[[Work, Size], Reading], work: Work, size: Size) -> Reading:
    """The meter's reading in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(meter, work, size).result()


def peak(work: Work, size: Size) -> Peak:
    """All readings of one piece of work."""
    return Peak(*_alone(allocator_peak, work, size), _alone(resident_growth, work, size))


def _rows(size: Size, step: Peak, ours: Peak) -> Iterator[dict[str, str]]:
    names = ("tensors in all", "tensors above model and batch", "resident size")
    readings = zip(names, *(vars(found).values() for found in (step, ours, ours.over(step))), strict=True)
    for name, of_step, of_ours, ratio in readings:
        row = {"peak memory": str(size), "counted": name, "training step, MiB": f"{of_step:.1f}"}
        yield row | {"normfield, MiB": f"{of_ours:.1f}", "ratio": f"{ratio:.2f}"}


def main() -> int:
    """Measure, print, and give the exit code."""
    asked = arguments(__doc__).parse_args()
    rows, verdicts = [], []
    for size in (YARDSTICK, WIDE):
        step, ours = peak(training_step, size), peak(top_eigenvalue, size)
        rows += _rows(size, step, ours)
        verdicts.append(Verdict(f"training steps' tensors, {size}", ours.over(step).total, "at most", 3))
    return conclude(Outcome("Peak memory of the top eigenvalue", rows, verdicts), asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
