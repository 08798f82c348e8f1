"""What a measurement of curvature against batch size answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class SizeCurvature:
    """One batch size.

    Attributes
    ----------
    batch_size : int
        B.
    values : numpy.ndarray
        λ_max of each batch, float64.
    mean_matrix_eigenvalue : float
        λ_max of the mean of the batches' matrices.
    products : int
    """

    batch_size: int
    values: np.ndarray
    mean_matrix_eigenvalue: float
    products: int

    @property
    def largest_eigenvalue(self) -> float:
        """Mean over batches of λ_max."""
        return float(self.values.mean())

    @property
    def standard_error(self) -> float:
        """Of that mean, over the batches as if independent; NaN for a single batch."""
        count = len(self.values)
        return float(self.values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan

    def __str__(self) -> str:
        error = "" if math.isnan(self.standard_error) else f" ± {self.standard_error:.2g}"
        return (
            f"batch size {self.batch_size}: largest eigenvalue {self.largest_eigenvalue:.5g}{error} "
            f"({len(self.values)} batches), of the mean matrix {self.mean_matrix_eigenvalue:.5g}"
        )


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum < 1:
        raise InvalidInput(expected="a momentum from 0 to below 1", got=f"{momentum}")


@dataclass(frozen=True, eq=False)
class CurvatureByBatchSize:
    """λ_max for each batch size.

    Attributes
    ----------
    rows : tuple of SizeCurvature
        By ascending size.
    pool_samples : int
        Samples that batches were drawn from.
    kind, loss, statistics : str
    seconds : float
    """

    rows: tuple[SizeCurvature, ...]
    pool_samples: int
    kind: str
    loss: str
    statistics: str
    seconds: float

    def _column(self, name: str) -> np.ndarray:
        return np.array([getattr(row, name) for row in self.rows])

    @property
    def batch_sizes(self) -> np.ndarray:
        """B, ascending."""
        return self._column("batch_size")

    @property
    def largest_eigenvalue(self) -> np.ndarray:
        """Mean over batches of λ_max, for each size."""
        return self._column("largest_eigenvalue")

    @property
    def standard_error(self) -> np.ndarray:
        """Of the means, for each size."""
        return self._column("standard_error")

    @property
    def mean_matrix_eigenvalue(self) -> np.ndarray:
        """λ_max of the mean matrix, for each size."""
        return self._column("mean_matrix_eigenvalue")

    def max_learning_rate(self, momentum: float = 0.0) -> np.ndarray:
        """η* = 2(1 + μ)/λ_max of the mean matrix, for each size; infinite where λ_max ≤ 0.

        Raises
        ------
        InvalidInput
            A momentum outside 0 ≤ μ < 1.
        """
        _check_momentum(momentum)
        largest = self.mean_matrix_eigenvalue
        return np.divide(2 * (1 + momentum), largest, out=np.full(len(largest), np.inf), where=largest > 0)

    def to_frame(self) -> pd.DataFrame:
        """One row for each size."""
        import pandas as pd

        return pd.DataFrame(self._table()).assign(kind=self.kind, loss=self.loss, statistics=self.statistics)

    def _table(self) -> dict[str, np.ndarray]:
        return {
            "batch_size": self.batch_sizes,
            "largest_eigenvalue": self.largest_eigenvalue,
            "standard_error": self.standard_error,
            "mean_matrix_eigenvalue": self.mean_matrix_eigenvalue,
            "max_learning_rate": self.max_learning_rate(),
            "batches": np.array([len(row.values) for row in self.rows]),
            "samples": np.array([row.batch_size * len(row.values) for row in self.rows]),
        }

    def to_json(self) -> str:
        """The table by columns and what was measured, as a JSON object, with a reason where a number is null."""
        reasons = []
        if np.isnan(self.standard_error).any():
            reasons.append("standard_error: one batch of a size has none")
        if (self.mean_matrix_eigenvalue <= 0).any():
            reasons.append("max_learning_rate: a largest eigenvalue that is not positive sets no limit")
        content: dict[str, Any] = {
            key: value for key, value in vars(self).items() if key != "rows"
        } | self._table()
        if reasons:
            content["reason"] = "; ".join(reasons)
        return json.dumps(finite(content), allow_nan=False)

    def figure(self) -> Figure:
        """λ_max against B on logarithmic axes: single batches with two standard errors, and the mean matrix."""
        mean, error = self.largest_eigenvalue, np.nan_to_num(2 * self.standard_error)
        series = [
            Series("mean over batches", self.batch_sizes, mean, low=mean - error, high=mean + error),
            Series("of the mean matrix", self.batch_sizes, self.mean_matrix_eigenvalue, style="dashed"),
        ]
        return lines(
            series,
            "batch size",
            f"largest {self.kind} eigenvalue",
            log_x=True,
            log_y=True,
            caption=f'statistics="{self.statistics}"; the band is two standard errors',
        )

    def __str__(self) -> str:
        head = (
            f'{self.kind} of {self.loss} by batch size, statistics="{self.statistics}", '
            f"{self.pool_samples} samples in the pool, {self.seconds:.2g} s"
        )
        return "\n".join([head, *map(str, self.rows)])
