"""What a measurement of a curvature matrix's trace answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.measure.eigenvalues.lanczos import CONVERGED
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Trace:
    """The trace of a module's curvature, with its standard error, as a whole and by block.

    Attributes
    ----------
    value : float
        tr G, in units of the loss as given.
    standard_error : float
        Of the value, from the spread of the samples; 0 where the trace is exact.
    mean_eigenvalue : float
        tr G/P.
    blocks : tuple of str
        Names of the blocks.
    block_values, block_standard_errors : numpy.ndarray
        The trace of each diagonal block. Blocks share their samples, so that their errors are not independent.
    block_parameters : tuple of int
        How many parameters each holds.
    parameters : int
        P.
    probes : int
        Samples behind the value, 0 where it is exact.
    gradients, products : int
        Backward passes through one batch (Fisher and Gauss-Newton matrices), or products with the matrix (Hessian,
        other losses).
    method : str
        "exact", "probes", or "deflated probes" where few directions were taken exactly.
    status : str
        "converged", or what is missing.
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

    value: float
    standard_error: float
    mean_eigenvalue: float
    blocks: tuple[str, ...]
    block_values: np.ndarray
    block_standard_errors: np.ndarray
    block_parameters: tuple[int, ...]
    parameters: int
    probes: int
    gradients: int
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
    def is_converged(self) -> bool:
        """Whether the standard error is as small as was asked."""
        return self.status == CONVERGED

    @property
    def shares(self) -> np.ndarray:
        """Each block's part of the whole trace; NaN where that is 0."""
        if self.value == 0:
            return np.full(len(self.blocks), math.nan)
        return self.block_values / self.value

    def to_frame(self) -> pd.DataFrame:
        """One row for each block."""
        import pandas as pd

        rows = {
            "block": self.blocks,
            "parameters": self.block_parameters,
            "trace": self.block_values,
            "standard_error": self.block_standard_errors,
            "share": self.shares,
        }
        return pd.DataFrame(rows).assign(
            kind=self.kind, loss=self.loss, statistics=self.statistics, status=self.status
        )

    def to_json(self) -> str:
        """Every attribute under its name, and `shares`, as a JSON object; a missing number is null with a reason."""
        content: dict[str, Any] = {**vars(self), "shares": self.shares}
        plain = finite(content)
        missing = plain["value"] is None or plain["standard_error"] is None or None in plain["shares"]
        reason = self.status if not self.is_converged else "the trace is zero"
        return json.dumps(plain | ({"reason": reason} if missing else {}), allow_nan=False)

    def __str__(self) -> str:
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        relative = abs(self.standard_error / self.value) if self.value else math.nan
        error = (
            "exactly" if self.method == "exact" else f"± {self.standard_error:.2g} ({relative:.2g} relative)"
        )
        spent = f"{self.gradients} gradients" if self.gradients else f"{self.products} products"
        largest = sorted(zip(self.block_values, self.blocks, self.shares, strict=True), reverse=True)[:3]
        return "\n".join(
            [
                f'{self.kind} of {self.loss}, statistics="{self.statistics}", {self.samples} samples in {batches}',
                f"trace {self.value:.6g} {error}, mean eigenvalue {self.mean_eigenvalue:.4g}",
                "largest blocks: " + ", ".join(f"{name} {share:.0%}" for _, name, share in largest),
                f"{self.status}: {self.method}, {self.probes} probes, {spent}, {self.seconds:.2g} s",
                *self.assumes,
            ]
        )
