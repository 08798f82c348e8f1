"""All eigenvalues of a small curvature matrix, from the matrix itself.

Gauss-Newton and Fisher matrices are G = AᵀA with A = Σ_b-stacked √(m_b/m)·RᵀJ (N, P), N = samples × outputs and
RRᵀ = H: their eigenvalues other than 0 are those of the dual Gram matrix AAᵀ (N, N). Where P is small, any G is
built from P products.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from normfield.measure.eigenvalues.krylov import NotFinite
from normfield.measure.eigenvalues.lanczos import CONVERGED, NOT_FINITE, Eigenpairs, LargestCheck
from normfield.measure.matrix.operators import MeanOperator
from normfield.measure.subject.losses import rooted

ROWS = 512
"""The largest matrix that is built unasked."""

ROWS_BYTES = 256 * 2**20
"""The most memory for A, in bytes, unasked."""

_COLUMNS = 2**16
_EXACT = LargestCheck(float("nan"), float("nan"), 0, 0, "all eigenvalues were computed")


@dataclass(frozen=True)
class DenseCost:
    """The sides of the two matrices that could be built, and the memory of A's rows."""

    dual: int
    primal: int
    row_bytes: int

    @property
    def side(self) -> int:
        """Side of the smaller matrix, which is the number of rows or products to spend."""
        return min(self.dual, self.primal)

    @property
    def is_small(self) -> bool:
        """Whether it is built unasked."""
        return self.side <= ROWS and self.side * self.row_bytes <= ROWS_BYTES

    @property
    def takes_dual(self) -> bool:
        """Whether the dual matrix is the smaller one."""
        return self.dual < self.primal


def _rows(operator: MeanOperator) -> Iterator[Tensor]:
    """The rows of A, one backward pass each: row j is Jᵀ·(column j of R)."""
    for weight, part in operator.parts():
        hessian = rooted(part.output_hessian)
        for unit in torch.eye(part.outputs.numel(), device=part.outputs.device, dtype=part.outputs.dtype):
            yield part.pull_back(hessian.root(weight**0.5 * unit.view(part.outputs.shape)))


def _gram(rows: Tensor) -> np.ndarray:
    """AAᵀ in float64, some columns of A at a time."""
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for part in rows.split(_COLUMNS, dim=1):
        wide = part.double()
        total += wide @ wide.T
    return total.cpu().numpy()


def completed(vectors: Tensor, count: int) -> Tensor:
    """Rows (count, P): orthonormal, beginning with the given ones, the rest from the unit vectors."""
    missing = count - len(vectors)
    if missing == 0:
        return vectors
    # An orthonormal set of n vectors leaves some unit vector at least half outside among any 2n + missing of them.
    units = torch.eye(min(2 * len(vectors) + 2 * missing, vectors.shape[1]), vectors.shape[1]).to(vectors)
    for _ in range(2):
        units = units - (units @ vectors.T) @ vectors
    _, _, rows = torch.linalg.svd(units, full_matrices=False)
    return torch.cat([vectors, rows[:missing]])


def _pairs(values: np.ndarray, vectors: Tensor, images: Tensor, spent: int) -> Eigenpairs:
    """The result, with the largest one's residual measured on its image G·v."""
    scale = max(abs(float(values[0])), float(np.finfo(float).tiny))
    residual = float((images[0] - float(values[0]) * vectors[0]).norm()) / scale
    error = 4 * torch.finfo(vectors.dtype).eps
    return Eigenpairs(values, vectors, residual, error, spent, CONVERGED, _EXACT)


def _not_finite(spent: int) -> Eigenpairs:
    nan = float("nan")
    return Eigenpairs(np.zeros(0), torch.zeros(0, 0), nan, nan, spent, NOT_FINITE, _EXACT)


def dual_eigenvalues(operator: MeanOperator) -> np.ndarray:
    """All eigenvalues of AAᵀ (N,), ascending; NotFinite where a row is not finite."""
    rows = torch.stack(list(_rows(operator)))
    if not torch.isfinite(rows).all():
        raise NotFinite
    return np.maximum(np.linalg.eigvalsh(_gram(rows)), 0.0)


def primal_eigenvalues(operator: MeanOperator, like: Tensor) -> np.ndarray:
    """All eigenvalues of any G (P,), ascending; NotFinite where a product is not finite."""
    matrix = torch.stack([operator.product(unit) for unit in torch.eye(operator.size).to(like)])
    if not torch.isfinite(matrix).all():
        raise NotFinite
    dense = matrix.double().cpu().numpy()
    return np.linalg.eigvalsh((dense + dense.T) / 2)


def dual_eigenpairs(operator: MeanOperator, wanted: int) -> Eigenpairs:
    """The largest eigenvalues of G = AᵀA from AAᵀ; `products` counts the rows of A."""
    rows = torch.stack(list(_rows(operator)))
    if not torch.isfinite(rows).all():
        return _not_finite(len(rows))
    values, left = np.linalg.eigh(_gram(rows))
    values, left = np.maximum(values[::-1][:wanted], 0.0), left[:, ::-1][:, :wanted]
    above = values > len(rows) * torch.finfo(rows.dtype).eps * values[0]
    vectors = torch.from_numpy(left[:, above].T.copy()).to(rows) @ rows
    vectors = completed(vectors / vectors.norm(dim=1, keepdim=True), wanted)
    values = np.concatenate([values, np.zeros(wanted - len(values))])
    return _pairs(values, vectors, (vectors[:1] @ rows.T) @ rows, len(rows))


def primal_eigenpairs(operator: MeanOperator, wanted: int, like: Tensor) -> Eigenpairs:
    """The largest eigenvalues of any G (P, P), built from its products with the unit vectors."""
    matrix = torch.stack([operator.product(unit) for unit in torch.eye(operator.size).to(like)])
    if not torch.isfinite(matrix).all():
        return _not_finite(operator.size)
    dense = matrix.double().cpu().numpy()
    values, vectors = np.linalg.eigh((dense + dense.T) / 2)
    rows = torch.from_numpy(vectors[:, ::-1][:, :wanted].T.copy()).to(like)
    return _pairs(values[::-1][:wanted].copy(), rows, rows[:1] @ matrix, operator.size)
