"""What an empirical neural tangent kernel answers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from normfield.errors import InvalidInput
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class EmpiricalNTK:
    """Θ(x, x′) = J(x)J(x′)ᵀ of a module at its present parameters.

    Attributes
    ----------
    matrix : numpy.ndarray
        (n·C, n′·C), float64, sample by sample and within it output by output; (n, n′) where outputs are averaged.
    samples, other_samples : int
        n and n′; equal where no second set was given.
    outputs : int
        C, of the model for one sample.
    averaged : bool
        Whether `matrix` is the mean over outputs, (1/C) Σ_c Θ_cc.
    is_square : bool
        Whether both sets are the same one, so that there are eigenvalues.
    statistics : str
        What batch norms normalised by.
    parameters : int
        How many entries of θ were differentiated by.
    way : str
        "whole batch" or "sample by sample": how the rows of J were found.
    seconds : float
    """

    matrix: np.ndarray
    samples: int
    other_samples: int
    outputs: int
    averaged: bool
    is_square: bool
    statistics: str
    parameters: int
    way: str
    seconds: float

    @property
    def blocks(self) -> np.ndarray:
        """Θ as (n, n′, C, C), a matrix of outputs for each pair of samples; C is 1 where outputs are averaged."""
        outputs = 1 if self.averaged else self.outputs
        shape = (self.samples, outputs, self.other_samples, outputs)
        return self.matrix.reshape(shape).transpose(0, 2, 1, 3)

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """All of them, descending.

        Raises
        ------
        InvalidInput
            A kernel between two sets.
        """
        if not self.is_square:
            raise InvalidInput(
                expected="the kernel of one set with itself for eigenvalues",
                got="one between two sets",
                instead="leave out other",
            )
        return np.linalg.eigvalsh(self.matrix)[::-1].copy()

    @property
    def largest_eigenvalue(self) -> float:
        """λ_max(Θ)."""
        return float(self.eigenvalues[0])

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue; infinite where the smallest is round-off."""
        smallest, largest = float(self.eigenvalues[-1]), self.largest_eigenvalue
        return largest / smallest if smallest > self._round_off() else math.inf

    def _round_off(self) -> float:
        return len(self.matrix) * float(np.finfo(float).eps) * self.largest_eigenvalue

    def max_learning_rate(self, momentum: float = 0.0) -> float:
        """η* = 2(1 + μ)m/λ_max(Θ), for the squared loss (1/m) Σ ½‖f − y‖² over these m samples [Wei, Eq. 7].

        JᵀJ/m, that loss's Gauss-Newton matrix, has the eigenvalues of Θ/m, zeros aside.

        Raises
        ------
        InvalidInput
            A momentum outside 0 ≤ μ < 1, a kernel between two sets or one averaged over several outputs.
        """
        if not 0 <= momentum < 1:
            raise InvalidInput(expected="a momentum from 0 to below 1", got=f"{momentum}")
        if self.averaged and self.outputs > 1:
            raise InvalidInput(
                expected="the kernel of all outputs for a learning rate",
                got="their mean",
                instead="leave out trace_outputs",
            )
        largest = self.largest_eigenvalue
        return 2 * (1 + momentum) * self.samples / largest if largest > 0 else math.inf

    def alignment(self, targets: Any) -> float:
        """yᵀΘy/(‖Θ‖_F·‖y‖²), 1 where Θ ∝ yyᵀ: how much of the kernel lies in the direction of the targets.

        [Cristianini et al., *On kernel-target alignment*, 2001]. Integer labels become one-hot rows without their
        mean; for a kernel averaged over outputs, y yᵀ is summed over them.

        Parameters
        ----------
        targets : tensor or array
            (n,) integer labels, or (n, …) values, C for each sample.

        Raises
        ------
        InvalidInput
            A kernel between two sets, targets that do not fit, or that are all zero.
        """
        if not self.is_square:
            raise InvalidInput(expected="the kernel of one set with itself", got="one between two sets")
        y = _values(targets, self.samples, self.outputs)
        along = (y * (self.matrix @ y)).sum() if self.averaged else y.ravel() @ self.matrix @ y.ravel()
        size = np.linalg.norm(y @ y.T) if self.averaged else (y**2).sum()
        if size == 0:
            raise InvalidInput(
                expected="targets that are not all alike", got="no direction", instead="mix classes"
            )
        return float(along / (np.linalg.norm(self.matrix) * size))

    def to_frame(self) -> pd.DataFrame:
        """Θ as a table, (sample, output) by (sample, output)."""
        import pandas as pd

        outputs = range(1 if self.averaged else self.outputs)
        sides = [
            pd.MultiIndex.from_product([range(n), outputs], names=["sample", "output"])
            for n in (self.samples, self.other_samples)
        ]
        return pd.DataFrame(self.matrix, index=sides[0], columns=sides[1])

    def to_json(self) -> str:
        """Every attribute under its name, eigenvalues and condition, as a JSON object with a reason for a null."""
        content: dict[str, Any] = {key: value for key, value in vars(self).items() if key != "eigenvalues"}
        reason = "a kernel between two sets has no eigenvalues"
        if self.is_square:
            content |= {"eigenvalues": self.eigenvalues, "condition": self.condition}
            reason = (
                "" if math.isfinite(self.condition) else "condition: the smallest eigenvalue is round-off"
            )
        else:
            content |= {"eigenvalues": None, "condition": None}
        return json.dumps(finite(content) | ({"reason": reason} if reason else {}), allow_nan=False)

    def __str__(self) -> str:
        sets = (
            f"{self.samples} samples" if self.is_square else f"{self.samples} by {self.other_samples} samples"
        )
        outputs = f"mean over {self.outputs} outputs" if self.averaged else f"{self.outputs} outputs"
        first = (
            f"empirical NTK of {sets}, {outputs}, {self.parameters} parameters, "
            f'statistics="{self.statistics}", rows by {self.way}, {self.seconds:.2g} s'
        )
        if not self.is_square:
            return first
        return f"{first}\nlargest eigenvalue {self.largest_eigenvalue:.6g}, condition {self.condition:.3g}"


def _values(targets: Any, samples: int, outputs: int) -> np.ndarray:
    """(n, C) float64: values as they are, integer labels as centred one-hot rows."""
    y = torch.as_tensor(targets).detach().cpu().numpy()
    is_labels = y.shape == (samples,) and outputs > 1 and np.issubdtype(y.dtype, np.integer)
    if is_labels and y.size and y.min() >= 0 and y.max() < outputs:
        rows = np.eye(outputs)[y]
        return rows - rows.mean(0)
    if is_labels or y.size != samples * outputs or len(y) != samples:
        raise InvalidInput(
            expected=f"targets for {samples} samples: labels from 0 to {outputs - 1}, or {outputs} values each",
            got=f"labels from {y.min()} to {y.max()}" if is_labels else f"shape {y.shape}",
        )
    return y.reshape(samples, outputs).astype(float)
