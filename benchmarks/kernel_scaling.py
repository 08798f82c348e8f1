"""What the exact kernels cost with depth and with the batch: medians in turn, the laws fitted to them, their plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from kernel_cases import exact
from outcome import Verdict
from rounds import Rounds, alternate, median_seconds, spread

from normfield.report import Figure, Page, Section, Series, lines, write

DEPTHS = (2, 4, 8, 16)
BATCHES = (256, 512, 1024, 2048)
AT_DEPTH, AT_BATCH = 4, 512


@dataclass(frozen=True)
class Scaling:
    """Rounds by depth at one batch size, and by batch size at one depth."""

    by_depth: Mapping[int, Rounds]
    by_batch: Mapping[int, Rounds]

    @property
    def exponent(self) -> float:
        """The slope of log seconds over log B."""
        return _slope(np.log(list(self.by_batch)), np.log(_medians(self.by_batch)))

    @property
    def per_layer(self) -> dict[int, float]:
        """Seconds for each layer with batch norm, by depth."""
        return {depth: median_seconds(rounds) / (depth - 1) for depth, rounds in self.by_depth.items()}

    def rows(self) -> list[dict[str, str]]:
        """One for each depth and batch size."""
        cases = {f"depth {depth}, B = {AT_BATCH}": rounds for depth, rounds in self.by_depth.items()}
        cases |= {f"depth {AT_DEPTH}, B = {size}": rounds for size, rounds in self.by_batch.items()}
        return [
            {"cost": name, "median s": f"{median_seconds(rounds):.4f}", "least – most": spread(rounds)}
            for name, rounds in cases.items()
        ]

    def verdicts(self) -> list[Verdict]:
        """Linear in depth, between squared and cubed in the batch."""
        layer = self.per_layer
        first, last = DEPTHS[1], DEPTHS[-1]
        grown = f"seconds a layer, depth {last} over depth {first}"
        return [
            Verdict(grown, layer[last] / layer[first], "at most", 1.25),
            Verdict("exponent of the batch size", self.exponent, "at most", 3),
        ]


def _medians(rounds: Mapping[int, Rounds]) -> list[float]:
    return [median_seconds(each) for each in rounds.values()]


def _slope(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0])


def measured(rounds: int) -> Scaling:
    """Every depth in turn, then every batch size in turn."""
    depths = {depth: exact(AT_BATCH, depth) for depth in DEPTHS}
    sizes = {size: exact(size, AT_DEPTH) for size in BATCHES}
    by_depth, by_batch = (
        alternate({str(key): (lambda _, call=call: call) for key, call in calls.items()}, rounds)
        for calls in (depths, sizes)
    )
    return Scaling(
        dict(zip(DEPTHS, by_depth.values(), strict=True)), dict(zip(BATCHES, by_batch.values(), strict=True))
    )


def _measured_series(rounds: Mapping[int, Rounds]) -> Series:
    seconds = [[timed.seconds for timed in each] for each in rounds.values()]
    low, high = ([pick(each) for each in seconds] for pick in (min, max))
    return Series("measured, least to most", list(rounds), _medians(rounds), "markers", low=low, high=high)


def _law(name: str, x: Sequence[int], through: tuple[float, float], power: float) -> Series:
    """A power of x through one point."""
    return Series(name, list(x), [through[1] * (each / through[0]) ** power for each in x], "dashed")


def figures(scaling: Scaling) -> list[Figure]:
    """Seconds over depth and over the batch size, with the laws they are held to."""
    layers = {depth - 1: rounds for depth, rounds in scaling.by_depth.items()}
    line = _law("linear", list(layers), (DEPTHS[-1] - 1, _medians(layers)[-1]), 1)
    axes = {"log_x": True, "log_y": True}
    depth = lines(
        [_measured_series(layers), line],
        "layers with batch norm",
        "seconds",
        **axes,
        title=f"Depth, at a batch of {AT_BATCH}",
    )
    largest = (BATCHES[-1], _medians(scaling.by_batch)[-1])
    powers = [_law(f"B{mark}", BATCHES, largest, power) for mark, power in (("²", 2), ("³", 3))]
    title = f"Batch size, at depth {AT_DEPTH}: exponent {scaling.exponent:.2f}"
    size = lines(
        [_measured_series(scaling.by_batch), *powers],
        "samples in the batch, B",
        "seconds",
        **axes,
        title=title,
    )
    return [depth, size]


def plot(scaling: Scaling, path: Path) -> None:
    """The figures as a page."""
    words = "NNGP and tangent kernel of a ReLU network with batch norm, method exact, float64."
    page = Page("What an exact kernel costs", words, [Section("Measured cost", figures(scaling))])
    write(page, path)
