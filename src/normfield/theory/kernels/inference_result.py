"""What regression with a network's kernel predicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import format_number
from normfield.report.plain_json import json_text
from normfield.theory.kernels.joint_result import CrossBatchKernel, or_one_number

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class KernelRegression:
    """Posterior of the outputs at n test samples.

    Attributes
    ----------
    mean : numpy.ndarray
        (n,) or (n, C), as the targets.
    covariance : numpy.ndarray
        (n, n), of one output, the same for each; of f, without the noise of an observation.
    kernel : {"nngp", "ntk"}
    noise : float
        σ², added to the diagonal of the training kernel.
    left_out : int
        Directions of the training batch in which the kernel vanishes, which no training fits.
    unexplained : float
        Share of ‖y‖² in these directions.
    condition : float
        Largest over smallest eigenvalue of what was inverted.
    status : str
        "converged", or what is wrong.
    seconds : float
    kernels : CrossBatchKernel
        The kernels it stands on, with their method, error and doubts.
    """

    mean: np.ndarray
    covariance: np.ndarray
    kernel: str
    noise: float
    left_out: int
    unexplained: float
    condition: float
    status: str
    seconds: float
    kernels: CrossBatchKernel = field(repr=False)

    @property
    def standard_deviation(self) -> np.ndarray:
        """√ of the covariance's diagonal (n,), 0 where round-off is below."""
        return np.sqrt(np.clip(np.diagonal(self.covariance), 0.0, None))

    @property
    def statistics(self) -> str:
        """Whose statistics the test samples were normalised by."""
        return self.kernels.statistics

    def mean_squared_error(self, targets: Any) -> float:
        """Mean of (mean − targets)² over samples and outputs.

        Raises
        ------
        InvalidInput
            Targets of another shape.
        """
        y = np.asarray(targets, dtype=float)
        if y.shape != self.mean.shape:
            raise InvalidInput(expected=f"targets of shape {self.mean.shape}", got=f"shape {y.shape}")
        return float(np.mean((self.mean - y) ** 2))

    def as_dict(self) -> dict[str, Any]:
        """Numbers and words, for JSON."""
        return {
            "mean": or_one_number(self.mean),
            "standard_deviation": or_one_number(self.standard_deviation),
            "kernel": self.kernel,
            "statistics": self.statistics,
            "noise": self.noise,
            "left_out": self.left_out,
            "unexplained": self.unexplained,
            "condition": self.condition,
            "status": self.status,
            "method": self.kernels.method,
            "error": self.kernels.error,
            "doubts": list(self.kernels.doubts),
            "seconds": self.seconds,
        }

    def to_json(self) -> str:
        """The same as JSON text; infinite or missing numbers are null, with a reason beside them."""
        return json_text(self.as_dict())

    def to_frame(self) -> pandas.DataFrame:
        """One row for each test sample and output: mean and standard deviation."""
        import pandas

        columns = self.mean.reshape(len(self.mean), -1)
        rows = pandas.MultiIndex.from_product(
            [range(columns.shape[0]), range(columns.shape[1])], names=["sample", "output"]
        )
        spread = np.repeat(self.standard_deviation, columns.shape[1])
        table = {"mean": columns.ravel(), "standard_deviation": spread}
        return pandas.DataFrame(table, index=rows).reset_index()

    def __str__(self) -> str:
        spread = self.standard_deviation
        whose = "their own" if self.statistics == "batch" else "the training batch's"
        lines = [
            f"{self.kernel.upper()} regression from {self.kernels.batch} to {self.kernels.others} samples with {whose} "
            f"statistics ({self.kernels.method}): standard deviations {format_number(spread.min())} to "
            f"{format_number(spread.max())}",
            *self.kernels.doubts,
        ]
        if self.left_out:
            lines.append(
                f"the kernel vanishes in {self.left_out} of {self.kernels.batch} directions, with "
                f"{100 * self.unexplained:.2g} % of the targets' squares"
            )
        return "\n".join(lines if self.status == "converged" else [*lines, self.status])
