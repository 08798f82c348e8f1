"""What fits the budget: batch size, how thoroughly to measure, how many and how long runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from normfield.diagnosis.asked import Asked
from normfield.diagnosis.costs import PRODUCT_STEPS, Costs
from normfield.diagnosis.memory import in_words

_SMALLER_BATCHES = (64, 32)
_LARGEST_CLUSTER = 16  # eigenvalues that are looked for together
_LONGEST, _LEAST_STEPS, _FEWEST_STEPS = 240, 30, 10
_RUNS = (12, 24)  # of a restart: where η* is close to the edge, and where it is decades below (cross-entropy)
_RUNS_OF_EDGE = (8, 14)  # without looking for the best rate below it, to a coarser resolution
_EVALUATED = 2048  # training samples on which runs are compared, at most
_FORWARD = 1 / 3  # of a step


@dataclass(frozen=True)
class Measuring:
    """How the curvature is measured.

    Attributes
    ----------
    only_largest
        Whether just the largest eigenvalue is looked for, to 1 %, instead of the cluster at the top.
    products
        How many products with the matrix fit the memory; 0 where not even one fits time and memory.
    may_be_dense
        Whether the whole matrix may be built, row by row, where it is small.
    """

    only_largest: bool
    products: int
    may_be_dense: bool


@dataclass(frozen=True)
class Training:
    """How the edge of training is looked for.

    Attributes
    ----------
    restarts, steps
        Of the search, and of each run; 0 steps where not even a short search fits.
    samples
        Training samples used, and no test data; None for all of both.
    looks_for_best
        Whether runs below the edge are made too.
    resolution
        Width in decades at which a bracket is closed.
    """

    restarts: int
    steps: int
    samples: int | None = None
    looks_for_best: bool = True
    resolution: float = 0.05

    @property
    def cut(self) -> str:
        """What is less than it would be with time enough; empty where nothing is."""
        parts = [] if self.steps == _LONGEST else [f"runs of {self.steps} steps instead of {_LONGEST}"]
        parts += [] if self.restarts > 1 else ["1 restart instead of 2"]
        parts += [] if self.samples is None else [f"{self.samples:,} training samples and no test data"]
        parts += [] if self.looks_for_best else ["no runs for the best learning rate below the edge"]
        return ", ".join(parts)


def cluster(asked: Asked, outputs: int) -> int:
    """How many eigenvalues are looked for together: those of the outputs for squared losses, else one."""
    return min(outputs, _LARGEST_CLUSTER) if asked.squared_loss_factor(outputs) is not None else 1


def fitting_batch(asked: Asked, costs: Costs, outputs: int, left: float, memory: int) -> Asked:
    """The same question on smaller batches where a budget or the memory does not hold batches of 128."""
    sizes = [asked.batch_size, *(size for size in _SMALLER_BATCHES if size < asked.batch_size)]
    held = (size for size in sizes if _holds(asked, costs, outputs, left, memory, size))
    size = next(held, sizes[-1])
    if size == asked.batch_size:
        return asked
    dear = costs.measuring_bytes(asked.batch_size, _products(cluster(asked, outputs)))
    why = (
        f"measuring there would take about {in_words(dear)}, and {in_words(memory)} may be used"
        if dear > memory
        else f"a gradient there takes about {costs.step(asked.batch_size):.2g} s"
    )
    return replace(
        asked, batch_size=size, batch_note=f"batches of {size} instead of {asked.batch_size} ({why})"
    )


def _holds(asked: Asked, costs: Costs, outputs: int, left: float, memory: int, size: int) -> bool:
    """Whether a whole measurement and a search with runs of some length fit on batches of this size."""
    together = cluster(asked, outputs)
    if costs.measuring_bytes(size, _products(together)) > memory:
        return False
    measuring = _measuring_seconds(costs, size, together)
    steps = _steps(costs, size, _runs(asked, _RUNS), left - measuring)
    return measuring <= left / 2 and steps >= 2 * _FEWEST_STEPS


def _products(together: int) -> int:
    """Of a measurement that converges, and its check; what was seen, rounded up."""
    return 3 * together + 4 if together > 1 else 16


def _measuring_seconds(costs: Costs, batch_size: int, together: int) -> float:
    """A look at the model, the rows to start from, and the products."""
    return (2 + together) * costs.step(batch_size) + _products(together) * costs.product(batch_size)


def measuring(asked: Asked, costs: Costs, outputs: int, seconds: float, memory: int) -> Measuring:
    """The most thorough measurement of one batch that fits seconds and memory.

    Whatever may fit is tried, since it ends with its time; what could not even begin is not.
    """
    size, together = asked.batch_size, cluster(asked, outputs)
    room = memory - costs.measuring_bytes(size, 0)
    in_memory = int(max(room / max(costs.measuring_bytes(0, 1), 1), 0))
    whole = _measuring_seconds(costs, size, together) <= seconds and in_memory >= _products(together)
    begins = (3 + PRODUCT_STEPS) * costs.seconds_at_least <= seconds
    return Measuring(
        only_largest=together > 1 and not whole,
        products=in_memory if begins else 0,
        may_be_dense=size * outputs * costs.step(size) <= seconds,
    )


def measuring_share(asked: Asked, costs: Costs, left: float) -> float:
    """The part of the time left that measurement may take: half, or nearly all where no search fits the other half."""
    searches = _steps(costs, asked.batch_size, _runs(asked, _RUNS_OF_EDGE), left / 2) >= _FEWEST_STEPS
    return 0.5 if searches else 0.95


def training(asked: Asked, costs: Costs, samples: int, test_samples: int, seconds: float) -> Training:
    """The most thorough search that fits: fewer steps and restarts first, then less data, then the edge alone."""
    size, runs = asked.batch_size, _runs(asked, _RUNS)
    evaluated = 2 * min(_EVALUATED, samples) + 2 * test_samples
    fixed = evaluated / size * _FORWARD * costs.step(size)
    for restarts in (2, 1):
        steps = int((seconds / (runs * restarts) - fixed) / costs.step(size))
        if steps >= _LEAST_STEPS:
            return Training(restarts, min(steps, _LONGEST))
    steps = _steps(costs, size, runs, seconds)
    if steps >= 2 * _FEWEST_STEPS:
        return Training(1, min(steps, _LONGEST), _seen(steps, size, samples))
    steps = _steps(costs, size, _runs(asked, _RUNS_OF_EDGE), seconds)
    if steps < _FEWEST_STEPS:
        return Training(1, 0)
    return Training(1, steps, _seen(steps, size, samples), looks_for_best=False, resolution=0.1)


def _steps(costs: Costs, batch_size: int, runs: int, seconds: float) -> int:
    """Steps per run where each run is evaluated, before and after, on the samples that it sees once."""
    return int(seconds / runs / (costs.step(batch_size) * (1 + 2 * _FORWARD)))


def _seen(steps: int, batch_size: int, samples: int) -> int:
    return min(min(steps, _LONGEST) * batch_size, samples)


def _runs(asked: Asked, choices: tuple[int, int]) -> int:
    return choices[asked.squared_loss_factor(1) is None]
