"""What a curvature measurement answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.eigenvalues.lanczos import CONVERGED, LargestCheck
from normfield.measure.eigenvalues.shown import eigenvalue_figure, eigenvalue_table
from normfield.report import Facts, fragment_html
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True, eq=False)
class Curvature:
    """The largest eigenvalues of a module's curvature, how they were found, and how well.

    Attributes
    ----------
    largest_eigenvalue : float
        λ_max, in units of the loss as given.
    eigenvalues : numpy.ndarray
        The largest ones, descending, float64. For squared losses at least the cluster is there.
    cluster_mean : float
        Mean of the first `cluster_size`: what infinite-width theory gives for each of them.
    cluster_size : int
        The number of outputs C for squared losses (16 at most, or `top` where that is more); else `top`.
    vectors : Tensor
        (P, k) eigenvectors as columns of unit norm, flat in the order of the trainable parameters.
    residual : float
        ‖Gv − λv‖/|λ| of the largest, or an upper bound on it from the dual matrix: an eigenvalue lies within it.
    error : float
        Estimated relative error of the largest.
    products : int
        Products of the matrix with a vector, about two gradients each (each row of a start costs one gradient more);
        in the dual dense method, gradients.
    status : str
        "converged", or what is missing.
    kind, loss, statistics : str
        What was measured: "fisher", "ggn" or "hessian"; of which loss; with which batch-norm statistics.
    samples, batches, dropped_samples : int
        On what; a last short batch is dropped and its samples counted.
    method : str
        "lanczos" or "dense".
    seconds : float
    largest_check : LargestCheck
        What a random start outside the found vectors saw.
    ghost_batch_size : int or None
        Samples that shared batch-norm statistics; None for whole batches.
    assumes : tuple of str
        What the numbers rest on beside these, in words: random draws fixed by the seed, ghost batches, parameters
        computed in another precision.
    """

    largest_eigenvalue: float
    eigenvalues: np.ndarray
    cluster_mean: float
    cluster_size: int
    vectors: Tensor
    residual: float
    error: float
    products: int
    status: str
    kind: str
    loss: str
    statistics: str
    samples: int
    batches: int
    dropped_samples: int
    method: str
    seconds: float
    largest_check: LargestCheck
    ghost_batch_size: int | None = None
    assumes: tuple[str, ...] = ()

    @property
    def is_converged(self) -> bool:
        """Whether every wanted eigenvalue is within its tolerance and checked."""
        return self.status == CONVERGED

    def max_learning_rate(self, momentum: float = 0.0) -> float:
        """Largest learning rate of heavy-ball gradient descent that is stable on this quadratic [Wei, Eq. 7].

        η* = 2(1 + μ)/λ_max, with μ the momentum; infinite where λ_max ≤ 0 sets no limit.

        Raises
        ------
        InvalidInput
            A momentum outside 0 ≤ μ < 1.
        """
        if not 0 <= momentum < 1:
            raise InvalidInput(expected="a momentum from 0 to below 1", got=f"{momentum}")
        if math.isnan(self.largest_eigenvalue):
            return math.nan
        return 2 * (1 + momentum) / self.largest_eigenvalue if self.largest_eigenvalue > 0 else math.inf

    def to_frame(self) -> pd.DataFrame:
        """One row for each eigenvalue, largest first, with what was measured."""
        import pandas as pd

        count = len(self.eigenvalues)
        rows = {
            "rank": range(1, count + 1),
            "eigenvalue": self.eigenvalues,
            "in_cluster": [rank < self.cluster_size for rank in range(count)],
        }
        return pd.DataFrame(rows).assign(
            kind=self.kind, loss=self.loss, statistics=self.statistics, status=self.status
        )

    def to_json(self) -> str:
        """Every attribute but the vectors under its name, as a JSON object; a number that is missing is null.

        The largest learning rate without momentum is added as ``max_learning_rate``, and a ``reason`` where
        something is null.
        """
        content: dict[str, Any] = {name: value for name, value in vars(self).items() if name != "vectors"}
        content["eigenvalues"] = self.eigenvalues.tolist()
        content["largest_check"] = vars(self.largest_check)
        content["max_learning_rate"] = self.max_learning_rate()
        reason = self._why_null()
        return json.dumps(finite(content) | ({"reason": reason} if reason else {}), allow_nan=False)

    def _why_null(self) -> str:
        """Why a number in the JSON is null, empty where none is."""
        reasons = []
        if math.isnan(self.largest_eigenvalue):
            reasons.append(f"largest_eigenvalue: {self.status}")
        elif self.largest_eigenvalue <= 0:
            reasons.append("max_learning_rate: the largest eigenvalue is not positive and sets no limit")
        if math.isnan(self.largest_check.seen):
            reasons.append(f"largest_check: {self.largest_check.note}")
        return "; ".join(reasons)

    def _limit(self) -> str:
        """The learning-rate limits in words."""
        if not self.largest_eigenvalue > 0:
            return "no learning-rate limit: the largest eigenvalue is not positive"
        plain, heavy = self.max_learning_rate(), self.max_learning_rate(0.9)
        return f"largest stable learning rate {plain:.4g} (momentum 0.9: {heavy:.4g})"

    def plot(self) -> PlotlyFigure:
        """The eigenvalues by rank, with the mean of their cluster; raises InvalidInput where none was found."""
        return eigenvalue_figure(self).to_plotly()

    def _repr_html_(self) -> str:
        facts: list[tuple[str, float | str | None]] = [
            ("largest eigenvalue", self.largest_eigenvalue),
            ("its relative error", self.error),
            ("η* without momentum", self.max_learning_rate()),
            ("statistics", self.statistics),
            ("status", self.status),
        ]
        return fragment_html(Facts(facts), eigenvalue_table(self))

    def __str__(self) -> str:
        cluster = (
            f", mean of the top {self.cluster_size} {self.cluster_mean:.6g}" if self.cluster_size > 1 else ""
        )
        dropped = f" ({self.dropped_samples} in a short last batch dropped)" if self.dropped_samples else ""
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        return "\n".join(
            [
                f'{self.kind} of {self.loss}, statistics="{self.statistics}", {self.samples} samples in '
                f"{batches}{dropped}",
                *self.assumes,
                f"largest eigenvalue {self.largest_eigenvalue:.6g} ± {self.error:.1g} (relative){cluster}",
                self._limit(),
                f"{self.status}: {self.method}, {self.products} products, {self.seconds:.2g} s, residual "
                f"{self.residual:.1g}; {self.largest_check}",
            ]
        )
