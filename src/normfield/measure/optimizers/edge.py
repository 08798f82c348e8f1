"""What a preconditioned curvature answers: how far an optimizer is from the edge of stability."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normfield.measure.eigenvalues.lanczos import CONVERGED
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd

ASSUMES = (
    "a quadratic with this curvature: what training does beyond the limit is not in it",
    "the preconditioner is held: it follows the gradients more slowly than a step",
    "one matrix for all steps: no noise from mini-batches",
)


@dataclass(frozen=True, eq=False)
class PreconditionedCurvature:
    """The largest eigenvalue of P^-½(G + a)P^-½, and the learning rate that it allows.

    Attributes
    ----------
    largest_eigenvalue : float
        λ_max of P^-½(G + a)P^-½, in units of one over the learning rate.
    stability_eigenvalue : float
        Λ = c·λ_max + ω, or λ_max(A) where parameter groups differ: the limit is 2/Λ.
    learning_rate : float
        The largest of the optimizer's present ones.
    optimizer, preconditioner : str
        Its class, and where P came from.
    kind, loss, statistics : str
    error, residual : float
        Estimated relative error of the largest eigenvalue, and ‖Av − λv‖/|λ|.
    products : int
    status : str
        "converged", or what is missing.
    samples, batches, dropped_samples : int
    seconds : float
    assumes : tuple of str
        What the limit takes for granted.
    """

    largest_eigenvalue: float
    stability_eigenvalue: float
    learning_rate: float
    optimizer: str
    preconditioner: str
    kind: str
    loss: str
    statistics: str
    error: float
    residual: float
    products: int
    status: str
    samples: int
    batches: int
    dropped_samples: int
    seconds: float
    assumes: tuple[str, ...] = ASSUMES

    @property
    def is_converged(self) -> bool:
        """Whether the eigenvalue is within its tolerance and checked."""
        return self.status == CONVERGED

    @property
    def max_learning_rate(self) -> float:
        """η* = 2/Λ, the largest stable learning rate (of several: of the largest, all in proportion)."""
        if math.isnan(self.stability_eigenvalue):
            return math.nan
        return 2 / self.stability_eigenvalue if self.stability_eigenvalue > 0 else math.inf

    @property
    def sharpness_times_rate(self) -> float:
        """η·Λ/2 = η/η*, at the present learning rate: 1 is the edge of stability; 0 where nothing limits η."""
        return self.learning_rate * max(self.stability_eigenvalue, 0.0) / 2

    def to_frame(self) -> pd.DataFrame:
        """One row."""
        import pandas as pd

        return pd.DataFrame([{key: value for key, value in self._content().items() if key != "assumes"}])

    def to_json(self) -> str:
        """Every attribute and property under its name, as a JSON object; with a reason where a number is null."""
        reason = ""
        if math.isnan(self.stability_eigenvalue):
            reason = f"stability_eigenvalue: {self.status}"
        elif self.stability_eigenvalue <= 0:
            reason = "max_learning_rate: the largest eigenvalue is not positive and sets no limit"
        return json.dumps(finite(self._content()) | ({"reason": reason} if reason else {}), allow_nan=False)

    def _content(self) -> dict[str, Any]:
        derived = {
            "max_learning_rate": self.max_learning_rate,
            "sharpness_times_rate": self.sharpness_times_rate,
        }
        return {**vars(self), **derived}

    def __str__(self) -> str:
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        return "\n".join(
            [
                f'preconditioned {self.kind} of {self.loss}, statistics="{self.statistics}", {self.samples} samples '
                f"in {batches}; {self.optimizer}, preconditioner: {self.preconditioner}",
                f"largest eigenvalue {self.largest_eigenvalue:.6g} ± {self.error:.1g} (relative)",
                f"largest stable learning rate {self.max_learning_rate:.4g}; the present one, "
                f"{self.learning_rate:.4g}, is {self.sharpness_times_rate:.3g} of it",
                f"{self.status}: {self.products} products, {self.seconds:.2g} s",
            ]
        )
