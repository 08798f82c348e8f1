"""What a measurement of the loss's gradient by the outputs answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from normfield.report import Figure, heat_map
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_MOST_SAMPLES, _MOST_OUTPUTS = 256, 100
_MISSING = "agreement needs two rows other than 0, its error three; coherence one value other than 0"


@dataclass(frozen=True, eq=False)
class OutputGradients:
    """∂ℓ/∂f of one batch's loss ℓ by its outputs f.

    Attributes
    ----------
    matrix : numpy.ndarray
        Samples × outputs, (m, K), float64, in units of the loss as it was given (a mean holds the 1/m).
    agreement, agreement_error : float or None
        Mean cosine between the rows of two samples, from about 0 (unrelated) to 1 (all alike), with its jackknife
        standard error over samples, which takes them for independent; rows of 0 are left out.
    loss, statistics : str
        Of what, and with which batch-norm statistics.
    """

    matrix: np.ndarray
    agreement: float | None
    agreement_error: float | None
    loss: str
    statistics: str

    @property
    def samples(self) -> int:
        """m."""
        return len(self.matrix)

    @property
    def coherence(self) -> float | None:
        """Σ_c|Σ_b g_bc| / Σ_bc|g_bc|: 1 where no two samples disagree in sign; None where all is 0."""
        sizes = np.abs(self.matrix).sum()
        return float(np.abs(self.matrix.sum(0)).sum() / sizes) if sizes > 0 else None

    @property
    def coherence_by_output(self) -> np.ndarray:
        """|Σ_b g_bc| / Σ_b|g_bc| of every output c, (K,); NaN where a column is 0."""
        sizes = np.abs(self.matrix).sum(0)
        sums = np.abs(self.matrix.sum(0))
        return np.divide(sums, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0)

    def to_frame(self) -> pd.DataFrame:
        """One row for each sample, one column for each output."""
        import pandas as pd

        return pd.DataFrame(self.matrix).rename_axis(index="sample", columns="output")

    def to_json(self) -> str:
        """JSON object: the matrix, agreement with its error, coherence; a missing number is null, with the reason."""
        found = {**vars(self), "coherence": self.coherence, "coherence_by_output": self.coherence_by_output}
        return json.dumps(finite(found | {"reason": _MISSING}), allow_nan=False)

    def figure(self) -> Figure:
        """The matrix as a heat map, at most 256 samples and 100 outputs of it."""
        shown = self.matrix[:_MOST_SAMPLES, :_MOST_OUTPUTS]
        largest = float(np.abs(shown).max()) or 1.0
        samples, outputs = shown.shape
        part = (
            "" if shown.size == self.matrix.size else f"The first {samples} samples and {outputs} outputs. "
        )
        return heat_map(
            list(range(outputs)),
            list(range(samples)),
            shown,
            "output",
            "sample",
            "∂ℓ/∂f",
            limits=(-largest, largest),
            title="Gradient by the outputs",
            caption=f"{part}{self._agreement_words()}; {self.loss}, {self.statistics} statistics.",
        )

    def plot(self) -> PlotlyFigure:
        """The figure, for plotly to show or to change."""
        return self.figure().to_plotly()

    def _agreement_words(self) -> str:
        if self.agreement is None:
            return "fewer than two samples have a gradient"
        error = "" if self.agreement_error is None else f" ± {self.agreement_error:.1g}"
        coherence = "" if self.coherence is None else f", coherence of their sum {self.coherence:.3g}"
        return f"mean cosine between two samples' rows {self.agreement:.3g}{error}{coherence}"

    def __str__(self) -> str:
        samples, outputs = self.matrix.shape
        return (
            f'gradient of {self.loss} by {outputs} outputs of {samples} samples, statistics="{self.statistics}": '
            f"{self._agreement_words()}"
        )
