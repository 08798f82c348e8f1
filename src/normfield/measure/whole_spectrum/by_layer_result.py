"""What a measurement of the diagonal blocks of a curvature matrix answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from normfield.measure.eigenvalues.lanczos import CONVERGED
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BlockCurvature:
    """One diagonal block of the matrix: the curvature of some parameters with all others held.

    Attributes
    ----------
    name : str
    parameters : int
    largest_eigenvalue : float
        λ_max of the block; the whole matrix's is at least as large.
    error : float
        Its estimated relative error.
    trace, trace_standard_error : float
    share : float
        The trace's part of the whole matrix's, NaN where that is 0.
    products : int
        Spent on the eigenvalue.
    status : str
        "converged", or what is missing of the eigenvalue.
    """

    name: str
    parameters: int
    largest_eigenvalue: float
    error: float
    trace: float
    trace_standard_error: float
    share: float
    products: int
    status: str


@dataclass(frozen=True, eq=False)
class LayerCurvature:
    """The diagonal blocks of a module's curvature matrix.

    Attributes
    ----------
    blocks : tuple of BlockCurvature
        In the module's order, or in that of the groups asked for.
    trace, trace_standard_error : float
        Of the whole matrix.
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

    blocks: tuple[BlockCurvature, ...]
    trace: float
    trace_standard_error: float
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
        """Whether every eigenvalue and the trace are as exact as was asked."""
        return self.status == CONVERGED

    @property
    def largest_eigenvalues(self) -> np.ndarray:
        """λ_max of every block."""
        return np.array([block.largest_eigenvalue for block in self.blocks])

    def __getitem__(self, name: str) -> BlockCurvature:
        """The block of a name; KeyError where there is none."""
        return {block.name: block for block in self.blocks}[name]

    def to_frame(self) -> pd.DataFrame:
        """One row for each block."""
        import pandas as pd

        rows = pd.DataFrame([vars(block) for block in self.blocks]).rename(columns={"name": "block"})
        return rows.assign(kind=self.kind, loss=self.loss, statistics=self.statistics)

    def to_json(self) -> str:
        """Every attribute under its name as a JSON object; a missing number is null, and a ``reason`` says why."""
        plain = finite({**vars(self), "blocks": [vars(block) for block in self.blocks]})
        numbers = (
            plain["trace"],
            plain["trace_standard_error"],
            *(v for b in plain["blocks"] for v in b.values()),
        )
        missing = None in numbers
        reason = self.status if not self.is_converged else "a block or the whole matrix has trace zero"
        return json.dumps(plain | ({"reason": reason} if missing else {}), allow_nan=False)

    def __str__(self) -> str:
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        width = max(5, *(len(block.name) for block in self.blocks))
        return "\n".join(
            [
                f'{self.kind} of {self.loss}, statistics="{self.statistics}", {self.samples} samples in {batches}',
                f"{'block':{width}}  parameters  largest eigenvalue           trace  share",
                *(_line(block, width) for block in self.blocks),
                f"whole trace {self.trace:.5g} ± {self.trace_standard_error:.1g}; {self.status}, {self.seconds:.2g} s",
                *self.assumes,
            ]
        )


def _line(block: BlockCurvature, width: int) -> str:
    share = "" if math.isnan(block.share) else f"{block.share:6.1%}"
    numbers = f"{block.parameters:10d}  {block.largest_eigenvalue:18.5g}  {block.trace:14.5g}  {share}"
    return f"{block.name:{width}}  {numbers}"
