"""The kernels of a network on one batch, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.linalg import eigsh

from normfield.errors import InvalidInput
from normfield.network import Network
from normfield.report import Facts, format_number, fragment_html
from normfield.report.plain_json import json_text
from normfield.theory.cross_entropy import CrossEntropyEigenvalue
from normfield.theory.kernels.shown import spectrum_figure
from normfield.theory.kernels.walk.softmax import softmax_eigenvalues

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure as PlotlyFigure

_DENSE = 256


@dataclass(frozen=True, eq=False)
class LayerKernel:
    """Both kernels behind one layer: of pre-activations where it is affine, else of activations."""

    name: str
    nngp: Any
    ntk: Any
    is_affine: bool
    error: float


def on_host(array: Any) -> np.ndarray:
    """An array of any namespace as NumPy's."""
    moved = array.cpu() if hasattr(array, "cpu") else array
    return np.asarray(moved.get() if hasattr(moved, "get") else moved, dtype=float)


@dataclass(frozen=True, eq=False)
class BatchKernel:
    """NNGP and neural tangent kernel of one output on one batch, at infinite width.

    Attributes
    ----------
    nngp : array
        K^L (B, B): covariance of one output over the batch, at random initial weights.
    ntk : array
        Θ^L (B, B): ∇f·∇fᵀ of one output, the same for each of the C outputs.
    method : str
        How batch-normed layers were computed: "exact", "concentrated", "monte_carlo", or "closed form" without any.
    error : float
        Largest estimated relative error of a layer's expectations.
    status : str
        "converged", or why the tangent kernel is infinite.
    doubts : tuple of str
        What speaks against the method.
    parameters : tuple of str
        Whose gradients count.
    outputs : int
        C.
    layers : tuple of LayerKernel
        Kernels behind each layer, where asked for.
    seconds : float
    network : Network
    """

    nngp: Any
    ntk: Any
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
    def samples(self) -> int:
        """B."""
        return self.ntk.shape[0]

    @cached_property
    def largest_eigenvalue(self) -> float:
        """λ_max of the Fisher matrix of the squared loss, averaged over samples: the top eigenvalue of Θ/B."""
        return float(self.top(1)[0])

    def top(self, k: int = 10) -> np.ndarray:
        """The k largest eigenvalues of Θ/B, descending; the Fisher matrix has each of them C times."""
        if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= self.samples:
            raise InvalidInput(expected=f"k from 1 to {self.samples}", got=repr(k))
        matrix = on_host(self.ntk)
        if not np.all(np.isfinite(matrix)):
            return np.full(k, np.inf)
        if self.samples <= _DENSE or k > self.samples // 4:
            return self.eigenvalues[:k]
        start = np.full(self.samples, self.samples**-0.5)
        return np.sort(eigsh(matrix, k=k, v0=start, return_eigenvectors=False))[::-1] / self.samples

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """All eigenvalues of Θ/B (B,), descending: the Fisher matrix's non-zero ones, each C times."""
        return np.linalg.eigvalsh(on_host(self.ntk))[::-1] / self.samples

    @cached_property
    def spectrum(self) -> dict[str, float]:
        """Mean and variance of the eigenvalues of Θ/B, its largest, and the share of the trace in the largest."""
        matrix = on_host(self.ntk) / self.samples
        mean = float(np.trace(matrix)) / self.samples
        second = float(np.sum(matrix**2)) / self.samples
        return {
            "mean": mean,
            "variance": max(second - mean**2, 0.0),
            "largest": self.largest_eigenvalue,
            "largest_share": self.largest_eigenvalue / (mean * self.samples) if mean > 0 else float("nan"),
        }

    def max_learning_rate(self, momentum: float = 0.0, loss: str = "squared", seed: int = 0) -> float:
        """η* = 2(1 + μ)/λ_max [Wei, Eq. 7]; for "cross_entropy" at the mean over random initial outputs.

        Raises
        ------
        InvalidInput
            The momentum is not in [0, 1), or the loss is neither "squared" nor "cross_entropy".
        """
        if not isinstance(momentum, int | float) or not 0 <= momentum < 1:
            raise InvalidInput(expected="momentum in [0, 1)", got=repr(momentum))
        if loss not in ("squared", "cross_entropy"):
            raise InvalidInput(expected='loss "squared" or "cross_entropy"', got=repr(loss))
        largest = self.largest_eigenvalue if loss == "squared" else self.cross_entropy(seed).mean
        return 2 * (1 + momentum) / largest if largest > 0 else float("inf")

    def cross_entropy(self, seed: int = 0, networks: int = 50) -> CrossEntropyEigenvalue:
        """The top Gauss–Newton eigenvalue for softmax cross-entropy at initialisation, over random networks.

        Outputs of a network are C draws from N(0, K^L); with p their softmax and R Rᵀ = diag p − ppᵀ for each sample,
        it is the top eigenvalue of Rᵀ(Θ ⊗ 1_C)R/B (BC, BC).

        Raises
        ------
        InvalidInput
            One output only, or a seed that is no whole number.
        """
        if self.outputs < 2:
            raise InvalidInput(expected="at least 2 outputs for cross-entropy", got=str(self.outputs))
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidInput(expected="seed as a whole number from 0", got=repr(seed))
        found = softmax_eigenvalues(on_host(self.nngp), on_host(self.ntk), self.outputs, networks, seed)
        return CrossEntropyEigenvalue.from_factors(
            self.largest_eigenvalue, found / self.largest_eigenvalue, seed
        )

    def as_dict(self, momentum: float = 0.0) -> dict[str, Any]:
        """Numbers and words, for JSON; without the matrices."""
        return {
            "largest_eigenvalue": self.largest_eigenvalue,
            "max_learning_rate": self.max_learning_rate(momentum),
            "momentum": momentum,
            "spectrum": self.spectrum,
            "method": self.method,
            "error": self.error,
            "status": self.status,
            "doubts": list(self.doubts),
            "parameters": list(self.parameters),
            "samples": self.samples,
            "outputs": self.outputs,
            "seconds": self.seconds,
        }

    def to_json(self, momentum: float = 0.0) -> str:
        """The same as JSON text; infinite or missing numbers are null, with a reason beside them."""
        return json_text(self.as_dict(momentum))

    def to_frame(self) -> pandas.DataFrame:
        """One row for each eigenvalue of Θ/B with the share of the trace up to it."""
        import pandas

        values = self.eigenvalues
        return pandas.DataFrame(
            {
                "rank": np.arange(1, len(values) + 1),
                "eigenvalue": values,
                "share": np.cumsum(values) / values.sum(),
            }
        )

    def plot(self) -> PlotlyFigure:
        """Eigenvalues of Θ/B against their rank.

        Raises
        ------
        InvalidInput
            The tangent kernel is infinite.
        """
        if self.status != "converged":
            raise InvalidInput(expected="a finite tangent kernel to draw", got=self.status)
        return spectrum_figure(self.eigenvalues.tolist()).to_plotly()

    def _repr_html_(self) -> str:
        facts: list[tuple[str, float | str | None]] = [
            ("λ_max", self.largest_eigenvalue),
            ("η* without momentum", self.max_learning_rate()),
            ("samples", float(self.samples)),
            ("method", self.method),
            ("status", self.status),
        ]
        return fragment_html(Facts(facts), *self.doubts)

    def __str__(self) -> str:
        lines = [
            f"kernel on {self.samples} samples ({self.method}): λ_max = {format_number(self.largest_eigenvalue)}, "
            f"η* = {format_number(self.max_learning_rate())} without momentum",
            *self.doubts,
        ]
        if self.status != "converged":
            lines.append(self.status)
        return "\n".join(lines)
