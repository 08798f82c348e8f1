"""The mean softmax covariance of a module's outputs, which carries squared loss over to cross-entropy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.subject.batches import read_batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.modes import batch_norm_statistics
from normfield.measure.subject.survey import survey
from normfield.measure.subject.untouched import untouched

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class OutputCovariance:
    """S = E[diag p − ppᵀ], p = softmax f(x), averaged over samples (and positions).

    Attributes
    ----------
    matrix : numpy.ndarray
        S (C, C), float64.
    largest_eigenvalue : float
        Its top eigenvalue: λ_max of the cross-entropy Gauss-Newton matrix is close to λ_max of the squared-loss
        Fisher matrix times this, at initialisation.
    statistics : str
    samples, batches, dropped_samples : int
    """

    matrix: np.ndarray
    largest_eigenvalue: float
    statistics: str
    samples: int
    batches: int
    dropped_samples: int

    def to_frame(self) -> pd.DataFrame:
        """S as a table, classes by classes."""
        import pandas as pd

        return pd.DataFrame(self.matrix)

    def to_json(self) -> str:
        """Every attribute under its name, as a JSON object."""
        return json.dumps({**vars(self), "matrix": self.matrix.tolist()})

    def __str__(self) -> str:
        batches = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        return (
            f"softmax covariance of {len(self.matrix)} classes over {self.samples} samples in {batches}, "
            f'statistics="{self.statistics}": largest eigenvalue {self.largest_eigenvalue:.6g}'
        )


def class_covariance(outputs: Tensor) -> Tensor:
    """E[diag p − ppᵀ] (C, C) in float64 over the samples and positions of outputs (m, C, …)."""
    p = outputs.detach().movedim(1, -1).flatten(0, -2).double().softmax(-1)
    return torch.diag(p.mean(0)) - p.T @ p / len(p)


def output_covariance(
    model: nn.Module,
    batches: Any,
    statistics: str = "batch",
    seed: int = 0,
    *,
    ghost_batch_size: int | None = None,
) -> OutputCovariance:
    """Measure S = E[diag p − ppᵀ] on one forward pass over the batches.

    Parameters
    ----------
    model : nn.Module
        Returns logits (m, C, …).
    batches : pair, iterable of pairs, or DataLoader
        As for `curvature`; targets are not read.
    statistics : {"batch", "frozen", "running"}
        What batch norms normalise by; the first two give the same S.
    seed : int
        Of random draws inside the model, and of a shuffling loader.
    ghost_batch_size : int, optional
        As for `curvature`.

    Returns
    -------
    OutputCovariance

    Raises
    ------
    InvalidInput
        As for `curvature`, and for outputs without a dimension of classes.
    """
    function = ModelFunction.of(model, seed)
    with (
        untouched(function.model, seed, function.device),
        batch_norm_statistics(function.model, statistics, ghost_batch_size),
        torch.no_grad(),
    ):
        read = read_batches(batches, ghost_batch_size=ghost_batch_size)
        shape = survey(function, read, None, statistics)
        if not shape:
            raise InvalidInput(expected="outputs (samples, classes, …)", got="one number for each sample")
        total = torch.zeros(shape[0], shape[0], dtype=torch.float64, device=function.device)
        for batch in read.items:
            outputs = function(batch.like(function.parameters[0]).inputs)
            total += class_covariance(outputs) * (batch.samples / read.samples)
    matrix = total.cpu().numpy()
    top = float(np.linalg.eigvalsh(matrix)[-1])
    return OutputCovariance(matrix, top, statistics, read.samples, len(read.items), read.dropped_samples)
