"""What a measurement of a curvature matrix's whole spectrum answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error: 0 where the number is exact, NaN where it is not known."""

    value: float
    standard_error: float

    def __str__(self) -> str:
        return f"{self.value:.4g}" + (f" ± {self.standard_error:.1g}" if self.standard_error else "")


@dataclass(frozen=True, eq=False)
class DensityCurve:
    """The density of eigenvalues on a grid.

    Attributes
    ----------
    grid : numpy.ndarray
        Eigenvalues λ.
    density : numpy.ndarray
        Of eigenvalues per unit of λ, or of log₁₀ λ where `is_logarithmic`; the integral over all is 1.
    standard_error : numpy.ndarray
        Over probes.
    width : float
        Standard deviation of the Gaussian that smooths each node, in the same unit.
    is_logarithmic : bool
    """

    grid: np.ndarray
    density: np.ndarray
    standard_error: np.ndarray
    width: float
    is_logarithmic: bool

    def to_frame(self) -> pd.DataFrame:
        """One row for each point of the grid."""
        import pandas as pd

        return pd.DataFrame(
            {"eigenvalue": self.grid, "density": self.density, "standard_error": self.standard_error}
        )


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """The distribution of all P eigenvalues of a module's curvature, as random probes see it, or exactly.

    Attributes
    ----------
    nodes, weights : tuple of numpy.ndarray
        For each probe its nodes, ascending, and their weights, which sum to 1 over all P eigenvalues: a probe's share
        of eigenvalues near a node. Exact: one probe, the eigenvalues themselves at equal weights.
    parameters : int
        P.
    certain_zeros : int
        Eigenvalues that are 0 because the matrix is of no higher rank: P − samples × outputs, at least 0, for Fisher
        and Gauss-Newton matrices; their share is the weight of an extra node at 0.
    zero_level : float
        Below this modulus a node is round-off, and counts as 0.
    steps, products : int
        Lanczos steps of a probe; products with the matrix, or rows of it, in all.
    method : str
        "lanczos" or "exact".
    status : str
        "converged" where every probe asked for was taken.
    kind, loss, statistics : str
        What was measured.
    samples, batches, dropped_samples : int
        On what; a last short batch is dropped and its samples counted.
    seconds : float
    ghost_batch_size : int or None
        Samples that share batch-norm statistics, where they are fewer than a batch.
    assumes : tuple of str
        What the numbers rest on beside these, in words.
    """

    nodes: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    parameters: int
    certain_zeros: int
    zero_level: float
    steps: int
    products: int
    method: str
    status: str
    kind: str
    loss: str
    statistics: str
    samples: int
    batches: int
    dropped_samples: int
    seconds: float
    ghost_batch_size: int | None = None
    assumes: tuple[str, ...] = ()

    @property
    def probes(self) -> int:
        """Random starts; 1 where the spectrum is exact."""
        return len(self.nodes)

    @property
    def smallest(self) -> float:
        """The smallest node seen."""
        return float(min(nodes[0] for nodes in self.nodes))

    @property
    def largest(self) -> float:
        """The largest node seen: λ_max or a little below; `curvature` gives it with its error."""
        return float(max(nodes[-1] for nodes in self.nodes))

    def mean(self, function: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        """(1/P)·Σ_i f(λ_i) for a function of arrays of eigenvalues."""
        values = np.array(
            [weights @ function(nodes) for nodes, weights in zip(self.nodes, self.weights, strict=True)]
        )
        return Estimate(float(values.mean()), self._error(values))

    def moments(self, count: int = 4) -> list[Estimate]:
        """(1/P)·tr Gᵏ for k = 1 … count.

        Raises
        ------
        InvalidInput
            A count that is no whole number from 1.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InvalidInput(expected="a count of moments of at least 1", got=repr(count))
        return [self.mean(lambda nodes, k=k: nodes**k) for k in range(1, count + 1)]

    def fraction_above(self, value: float) -> Estimate:
        """The share of the P eigenvalues that lie above a value; a node counts as a whole."""
        return self.mean(lambda nodes: (nodes > value).astype(float))

    @property
    def zero_fraction(self) -> Estimate:
        """The share of eigenvalues that are 0 within round-off; for large matrices partly seen as near 0 only."""
        return self.mean(lambda nodes: (np.abs(nodes) <= self.zero_level).astype(float))

    def density(
        self, points: int = 400, width: float | None = None, logarithmic: bool = False
    ) -> DensityCurve:
        """The nodes smoothed by Gaussians, on a grid of their range.

        Parameters
        ----------
        points : int
        width : float, optional
            Of the Gaussians, in λ or in log₁₀ λ; by default a hundredth of the range.
        logarithmic : bool
            Over log₁₀ λ; only what lies above `zero_level` is drawn, so that the integral is its share.

        Raises
        ------
        InvalidInput
            Too few points, a width that is not above 0, or no positive eigenvalue for a logarithm.
        """
        if isinstance(points, bool) or not isinstance(points, int) or points < 2:
            raise InvalidInput(expected="at least 2 points", got=repr(points))
        if width is not None and not 0 < width < math.inf:
            raise InvalidInput(expected="a width above 0", got=repr(width))
        places = [self._places(nodes, logarithmic) for nodes in self.nodes]
        low, high = self._range(places)
        width = width or max(high - low, np.finfo(float).tiny ** 0.5) / 100
        grid = np.linspace(low - 4 * width, high + 4 * width, points)
        curves = np.stack([_smoothed(grid, at, w, width) for at, w in zip(places, self.weights, strict=True)])
        error = np.array([self._error(column) for column in curves.T])
        return DensityCurve(10**grid if logarithmic else grid, curves.mean(0), error, width, logarithmic)

    def _places(self, nodes: np.ndarray, logarithmic: bool) -> np.ndarray:
        """Where nodes stand on the axis; −∞ for what a logarithm leaves out."""
        if not logarithmic:
            return nodes
        return np.log10(nodes, where=nodes > self.zero_level, out=np.full(len(nodes), -math.inf))

    @staticmethod
    def _range(places: list[np.ndarray]) -> tuple[float, float]:
        found = np.concatenate(places)
        found = found[np.isfinite(found)]
        if len(found) == 0:
            raise InvalidInput(
                expected="an eigenvalue above 0 for a logarithmic density",
                got="none",
                instead="use logarithmic=False",
            )
        return float(found.min()), float(found.max())

    def _error(self, values: np.ndarray) -> float:
        """Standard error of the mean over probes."""
        if self.method == "exact":
            return 0.0
        return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan

    def to_frame(self) -> pd.DataFrame:
        """One row for each node of each probe."""
        import pandas as pd

        tables = [
            pd.DataFrame({"probe": number, "node": nodes, "weight": weights})
            for number, (nodes, weights) in enumerate(zip(self.nodes, self.weights, strict=True))
        ]
        return pd.concat(tables, ignore_index=True).assign(
            kind=self.kind, loss=self.loss, statistics=self.statistics
        )

    def to_json(self) -> str:
        """Every attribute, four moments and the share of zeros as a JSON object; a missing number is null."""
        content: dict[str, Any] = {**vars(self), "probes": self.probes, "smallest": self.smallest}
        content |= {"largest": self.largest, "zero_fraction": vars(self.zero_fraction)}
        content["moments"] = [vars(moment) for moment in self.moments()]
        return json.dumps(finite(content), allow_nan=False)

    def __str__(self) -> str:
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        mean, square = self.moments(2)
        tenth = self.fraction_above(0.1 * self.largest)
        count = Estimate(tenth.value * self.parameters, tenth.standard_error * self.parameters)
        return "\n".join(
            [
                f'{self.kind} of {self.loss}, statistics="{self.statistics}", {self.samples} samples in {batches}',
                f"{self.parameters} eigenvalues from {self.smallest:.4g} to {self.largest:.4g}, mean {mean}, "
                f"mean square {square}",
                f"zero: {self.zero_fraction} of them; above a tenth of the largest: {count} of them",
                f"{self.status}: {self.method}, {self.probes} probes of {self.steps} steps, {self.products} products, "
                f"{self.seconds:.2g} s",
                *self.assumes,
            ]
        )


def _smoothed(grid: np.ndarray, places: np.ndarray, weights: np.ndarray, width: float) -> np.ndarray:
    """Σ_j w_j·N(grid; place_j, width²)."""
    seen = np.isfinite(places)
    distances = (grid[:, None] - places[seen][None]) / width
    return np.exp(-0.5 * distances**2) @ weights[seen] / (width * math.sqrt(2 * math.pi))
