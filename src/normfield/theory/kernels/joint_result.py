"""The kernels of a network on a batch and further samples together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.network import Network
from normfield.report import format_number
from normfield.report.plain_json import json_text
from normfield.theory.kernels.batch_result import LayerKernel, on_host

if TYPE_CHECKING:
    import pandas


def or_one_number(array: Any) -> np.ndarray | float:
    """An array on the host, or its first number that is not finite, so that JSON gives one reason for all."""
    found = on_host(array)
    wrong = found[~np.isfinite(found)]
    return float(wrong.flat[0]) if wrong.size else found


@dataclass(frozen=True, eq=False)
class CrossBatchKernel:
    """NNGP and neural tangent kernel of one output on a batch of B samples and n others, at infinite width.

    Attributes
    ----------
    nngp, ntk : array
        K and Θ (B + n, B + n), the batch first.
    batch, others : int
        B and n.
    statistics : {"batch", "population"}
        Whether the others are a batch with statistics of its own, or borrow the batch's.
    method, error, status, doubts, parameters, outputs
        As of `BatchKernel`.
    layers : tuple of LayerKernel
        Kernels (B + n, B + n) behind each layer, where asked for.
    seconds : float
    network : Network
    """

    nngp: Any
    ntk: Any
    batch: int
    others: int
    statistics: str
    method: str
    error: float
    status: str
    doubts: tuple[str, ...]
    parameters: tuple[str, ...]
    outputs: int
    layers: tuple[LayerKernel, ...]
    seconds: float
    network: Network = field(repr=False)

    @property
    def nngp_between(self) -> Any:
        """K between the batch and the others (B, n)."""
        return self.nngp[: self.batch, self.batch :]

    @property
    def ntk_between(self) -> Any:
        """Θ between the batch and the others (B, n)."""
        return self.ntk[: self.batch, self.batch :]

    def correlation(self, nngp: Any = None) -> float:
        """Mean of K between the two sets over the root of their mean variances; of `nngp`, the network's by default."""
        matrix = on_host(self.nngp if nngp is None else nngp)
        variances = np.diagonal(matrix)
        size = np.sqrt(variances[: self.batch].mean() * variances[self.batch :].mean())
        return float(matrix[: self.batch, self.batch :].mean() / size) if size > 0 else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Numbers and words, and K and Θ between the two sets, for JSON."""
        return {
            "batch": self.batch,
            "others": self.others,
            "statistics": self.statistics,
            "correlation": self.correlation(),
            "nngp_between": or_one_number(self.nngp_between),
            "ntk_between": or_one_number(self.ntk_between),
            "method": self.method,
            "error": self.error,
            "status": self.status,
            "doubts": list(self.doubts),
            "parameters": list(self.parameters),
            "outputs": self.outputs,
            "seconds": self.seconds,
        }

    def to_json(self) -> str:
        """The same as JSON text; infinite or missing numbers are null, with a reason beside them."""
        return json_text(self.as_dict())

    def to_frame(self) -> pandas.DataFrame:
        """One row for each pair of a sample of the batch and one of the others: nngp and ntk."""
        import pandas

        pairs = pandas.MultiIndex.from_product(
            [range(self.batch), range(self.others)], names=["sample", "other"]
        )
        columns = {"nngp": on_host(self.nngp_between).ravel(), "ntk": on_host(self.ntk_between).ravel()}
        return pandas.DataFrame(columns, index=pairs).reset_index()

    def __str__(self) -> str:
        whose = "own statistics" if self.statistics == "batch" else "the batch's statistics"
        lines = [
            f"kernel between a batch of {self.batch} and {self.others} others with {whose} ({self.method}): "
            f"mean correlation {format_number(self.correlation())}",
            *self.doubts,
        ]
        return "\n".join(lines if self.status == "converged" else [*lines, self.status])
