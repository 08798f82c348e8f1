"""What the population theory answers: λ_max, its terms, and the largest stable learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.network import Network
from normfield.report import Facts, fragment_html
from normfield.report.plain_json import json_text
from normfield.theory.cross_entropy import CrossEntropyEigenvalue, softmax_covariance_eigenvalues
from normfield.theory.fisher import Term
from normfield.theory.population import OrderParameters
from normfield.theory.shown import one_network, terms_figure, terms_table

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True)
class MeanField:
    """λ_max of the Fisher matrix by population theory, per output and at infinite width.

    Attributes
    ----------
    largest_eigenvalue
        λ_max; a float, or an array of the grid's shape.
    statistics, parameters, samples
        Which statistics and parameters were counted, and m (None: infinitely many).
    order_parameters
        q, q_xy, q̂, q̂_xy, q̃, q̃_xy of every layer.
    terms
        What each layer's weights, biases, γ and β add; they sum to λ_max but for the finite-sample term.
    finite_sample
        What m samples add; 0 for ``samples=None``.
    other_directions
        Upper estimate of the largest eigenvalue outside the direction that all samples share.
    is_top
        Whether λ_max stands above that estimate, i.e. whether it is the top eigenvalue.
    assumption
        What the value rests on, in one sentence.
    error
        Largest error estimate of the Gaussian expectations.
    network
        The description that was read.
    axes
        Name → values of each axis that replaced the description's numbers; empty for one network.
    """

    largest_eigenvalue: Any
    statistics: str
    parameters: str
    samples: Any
    order_parameters: OrderParameters
    terms: tuple[Term, ...]
    finite_sample: Any
    other_directions: Any
    is_top: Any
    assumption: str
    error: float
    network: Network
    axes: Mapping[str, np.ndarray] = field(default_factory=dict)

    def max_learning_rate(self, momentum: float = 0.0) -> Any:
        """η* = 2(1 + μ)/λ_max for squared loss ½‖f − y‖² averaged over samples [Wei, Eq. 7]; ∞ at λ_max = 0.

        Raises
        ------
        InvalidInput
            The momentum is not in [0, 1).
        """
        if not isinstance(momentum, int | float) or not 0 <= momentum < 1:
            raise InvalidInput(expected="momentum in [0, 1)", got=repr(momentum))
        with np.errstate(divide="ignore"):
            return number_or_array(2 * (1 + momentum) / np.asarray(self.largest_eigenvalue, dtype=float))

    def cross_entropy(self, seed: int = 0, networks: int = 200) -> CrossEntropyEigenvalue:
        """The top Gauss–Newton eigenvalue for softmax cross-entropy at initialisation, as an interval.

        λ_max times the top eigenvalue of E[diag p − ppᵀ], averaged over samples and drawn anew for each network:
        the samples of one network share a part N(0, q_xy) of their logits.

        Raises
        ------
        InvalidInput
            The field is a grid (ask one network at a time), or the network has one output.
        """
        if np.ndim(self.largest_eigenvalue):
            raise InvalidInput(
                expected="one network for cross-entropy",
                got=f"a grid of shape {np.shape(self.largest_eigenvalue)}",
            )
        outputs = self.network.output_shape[0]
        if outputs < 2:
            raise InvalidInput(expected="at least 2 outputs for cross-entropy", got=str(outputs))
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise InvalidInput(expected="seed as a whole number from 0 to 2⁶³ − 1", got=repr(seed))
        p = self.order_parameters
        factors = softmax_covariance_eigenvalues(
            float(p.q[-1]), float(p.q_xy[-1]), outputs, networks=networks, seed=seed
        )
        return CrossEntropyEigenvalue.from_factors(float(self.largest_eigenvalue), factors, seed)

    def to_frame(self) -> pandas.DataFrame:
        """The terms, one row per layer and kind; for a grid, one row per point: its axes, λ_max, η* at momentum 0."""
        import pandas

        if np.ndim(self.largest_eigenvalue):
            shape = np.shape(self.largest_eigenvalue)
            return pandas.DataFrame(
                {name: np.broadcast_to(values, shape).ravel() for name, values in self.axes.items()}
                | {
                    "largest_eigenvalue": np.ravel(self.largest_eigenvalue),
                    "max_learning_rate": np.ravel(self.max_learning_rate()),
                    "is_top": np.ravel(self.is_top),
                }
            )
        rows = [(term.layer, term.kind, float(term.value)) for term in self.terms]
        return pandas.DataFrame(rows, columns=["layer", "kind", "value"])

    def as_dict(self, momentum: float = 0.0) -> dict[str, Any]:
        """Everything as plain numbers, lists and words, for JSON."""
        p = self.order_parameters
        names = [item.name for item in fields(p)]
        return {
            "largest_eigenvalue": self.largest_eigenvalue,
            "max_learning_rate": self.max_learning_rate(momentum),
            "momentum": momentum,
            "statistics": self.statistics,
            "parameters": self.parameters,
            "samples": self.samples,
            "finite_sample": self.finite_sample,
            "other_directions": self.other_directions,
            "is_top": self.is_top,
            "assumption": self.assumption,
            "error": self.error,
            "order_parameters": [
                {"layer": l + 1} | {name: number_or_array(getattr(p, name)[l]) for name in names}
                for l in range(len(p.q))
            ],
            "terms": [
                {"layer": t.layer, "kind": t.kind, "value": number_or_array(t.value)} for t in self.terms
            ],
        }

    def to_json(self, momentum: float = 0.0) -> str:
        """The same as JSON text; infinite or missing numbers are null, with a reason beside them."""
        return json_text(self.as_dict(momentum))

    def plot(self) -> PlotlyFigure:
        """What each layer's parameters add to λ_max, as stacked bars; ``order_parameters.plot()`` has the rest.

        Raises
        ------
        InvalidInput
            The field is a grid.
        """
        one_network(np.ndim(self.largest_eigenvalue) == 0, "terms", np.shape(self.largest_eigenvalue))
        return terms_figure(self.terms).to_plotly()

    def _repr_html_(self) -> str:
        if np.ndim(self.largest_eigenvalue):
            return fragment_html(str(self))
        facts: list[tuple[str, float | str | None]] = [
            ("λ_max", float(self.largest_eigenvalue)),
            ("η* without momentum", float(self.max_learning_rate())),
            ("statistics", self.statistics),
            ("is the top eigenvalue", "yes" if self.is_top else "no, a lower bound"),
        ]
        return fragment_html(Facts(facts), terms_table(self.terms, "Terms of λ_max"), self.assumption)

    def __str__(self) -> str:
        if np.ndim(self.largest_eigenvalue):
            shape = np.shape(self.largest_eigenvalue)
            share = 100 * float(np.mean(self.is_top))
            return (
                f"mean field ({self.statistics} statistics) on a grid of shape {shape}; the value is the top "
                f"eigenvalue at {share:.0f} % of its points, elsewhere a lower bound (is_top says where)"
            )
        return (
            f"λ_max = {self.largest_eigenvalue:.4g} ({self.statistics} statistics, {self.parameters} parameters), "
            f"η* = {self.max_learning_rate():.4g} without momentum\n{self.assumption}"
        )


def number_or_array(value: Any) -> Any:
    """A 0-d array as a Python number, anything else as it is."""
    return value.item() if np.ndim(value) == 0 and isinstance(value, np.ndarray | np.generic) else value
