"""The curvature matrix as an operator, for algorithms that know a matrix by its products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.matrix.prepared import Prepared, prepared
from normfield.measure.subject.as_found import AsFound

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


class CurvatureOperator:
    """A module's curvature matrix G (P, P), symmetric, known by its products; made by `curvature_operator`.

    ``operator @ v`` takes a tensor or array (P,) or (P, k) and returns the same kind, a tensor on v's device, in the
    operator's dtype. Only during a product is the module in its chosen statistics; afterwards, also on errors, it is as
    it was found. Of a single batch the graph of the forward pass is kept between products; of several each product
    runs them again.

    Attributes
    ----------
    kind, loss, statistics : str
        Which matrix, of which loss, with which batch-norm statistics.
    samples, batches, dropped_samples : int
        On what; a last short batch is dropped and its samples counted.
    ghost_batch_size : int or None
        Samples that share batch-norm statistics, where they are fewer than a batch.
    assumes : tuple of str
        What the numbers rest on beside these, in words.
    parameter_names : tuple of str
        The trainable parameters, in whose order vectors are flat.
    """

    __array_ufunc__ = None  # array @ operator is for this class to answer, not for NumPy

    def __init__(self, measured: Prepared) -> None:
        function, read = measured.function, measured.batches
        self.kind, self.statistics, self.loss = measured.kind, measured.statistics, measured.loss.name
        self.samples, self.batches, self.dropped_samples = read.samples, len(read.items), read.dropped_samples
        self.ghost_batch_size, self.assumes = read.ghost_batch_size, measured.assumes
        self.parameter_names = function.names
        self._shapes = tuple(p.shape for p in function.parameters)
        self._measured = measured
        self._matrix = measured.operator()
        self._found = AsFound.of(function.model, measured.statistics)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return (self._matrix.size, self._matrix.size)

    @property
    def dtype(self) -> torch.dtype:
        """Of products."""
        return self._measured.function.dtype

    @property
    def device(self) -> torch.device:
        """Where products are computed."""
        return self._measured.function.device

    @property
    def products(self) -> int:
        """Matrix-vector products taken so far."""
        return self._matrix.products

    @property
    def T(self) -> CurvatureOperator:
        """The transpose, which is the operator itself."""
        return self

    def __matmul__(self, other: Any) -> Any:
        """G·v for v (P,) or (P, k).

        Raises
        ------
        InvalidInput
            Another shape or dtype, or a model that has changed since the operator was made.
        """
        if isinstance(other, np.ndarray):
            return self._of_tensor(_from_numpy(other)).cpu().numpy()
        if not isinstance(other, Tensor):
            return NotImplemented
        return self._of_tensor(other).to(other.device)

    def __rmatmul__(self, other: Any) -> Any:
        """v·G for v (P,) or (k, P), by symmetry."""
        if not isinstance(other, np.ndarray | Tensor):
            return NotImplemented
        return (self @ other.T).T if other.ndim == 2 else self @ other

    def __repr__(self) -> str:
        size = self._matrix.size
        return (
            f"CurvatureOperator({size}×{size}, {self.kind} of {self.loss}, statistics={self.statistics!r}, "
            f"{self.samples} samples)"
        )

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """A flat vector (P,) as views in the shapes of the parameters, by name.

        Raises
        ------
        InvalidInput
            Another shape.
        """
        if not isinstance(vector, Tensor) or vector.shape != self.shape[:1]:
            raise self._shape_error(vector, f"a tensor of shape ({self.shape[0]},)")
        pieces = vector.split([shape.numel() for shape in self._shapes])
        shaped = (piece.view(shape) for piece, shape in zip(pieces, self._shapes, strict=True))
        return dict(zip(self.parameter_names, shaped, strict=True))

    def to_scipy(self) -> LinearOperator:
        """As scipy's LinearOperator, for ``eigsh``, ``lobpcg``, ``svds`` and others."""
        from scipy.sparse.linalg import aslinearoperator  # slow to load, and not always wanted

        return aslinearoperator(_ForScipy(self))

    def _of_tensor(self, vectors: Tensor) -> Tensor:
        """G·vectors on the operator's device."""
        if vectors.dim() not in (1, 2) or len(vectors) != self._matrix.size:
            raise self._shape_error(vectors, f"shape ({self._matrix.size},) or ({self._matrix.size}, k)")
        if vectors.is_complex():
            raise InvalidInput(
                expected="real vectors", got=str(vectors.dtype).removeprefix("torch."), instead="use .real"
            )
        given = vectors.detach().to(self.device, self.dtype)
        self._found.require_same()
        with self._found.modes_again(), self._measured.in_place():
            if given.dim() == 1:
                return self._matrix.product(given)
            columns = [self._matrix.product(column.contiguous()) for column in given.T]
            return torch.stack(columns, dim=1) if columns else torch.zeros_like(given)

    def _shape_error(self, got: Any, expected: str) -> InvalidInput:
        words = f"shape {tuple(got.shape)}" if isinstance(got, Tensor) else type(got).__name__
        return InvalidInput(expected=expected, got=words, instead="P counts the trainable parameters")


class _ForScipy:
    """What scipy's aslinearoperator asks of a matrix."""

    def __init__(self, operator: CurvatureOperator) -> None:
        self.shape = operator.shape
        self.dtype = torch.empty(0, dtype=operator.dtype).numpy().dtype
        self._operator = operator

    def matvec(self, columns: np.ndarray) -> np.ndarray:
        """G·columns."""
        return self._operator @ columns

    rmatvec = matmat = rmatmat = matvec


def _from_numpy(array: np.ndarray) -> Tensor:
    """A tensor of the array's values, or one line on why there is none."""
    try:
        return torch.from_numpy(np.array(array))  # a copy, because torch objects to read-only ones
    except TypeError as error:
        raise InvalidInput(expected="a numeric array", got=f"dtype {array.dtype}") from error


def curvature_operator(
    model: nn.Module,
    batches: Any,
    loss: Any = "squared",
    kind: str = "fisher",
    statistics: str = "batch",
    seed: int = 0,
    *,
    ghost_batch_size: int | None = None,
) -> CurvatureOperator:
    """The curvature matrix of any module as an operator, for algorithms of scipy and others that take products.

    G·v = Jᵀ(H(J·v)) for "ggn" and "fisher", ∇⟨∇ℓ, v⟩ for "hessian"; letters and choices as for `curvature`. Several
    batches count as the sample-weighted mean of their matrices, each batch with its own statistics.

    Parameters
    ----------
    model : nn.Module
    batches : pair, iterable of pairs, or DataLoader
        Read once and kept.
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss or callable
    kind : {"fisher", "ggn", "hessian"}
    statistics : {"batch", "frozen", "running"}
    seed : int
        Of a shuffling loader without a generator of its own.
    ghost_batch_size : int, optional
        As for `curvature`.

    Returns
    -------
    CurvatureOperator
        With ``@``, ``shape``, ``dtype``, ``device``, ``T``, ``split(vector)`` and ``to_scipy()``.

    Raises
    ------
    InvalidInput
        Input that cannot be measured; at a product, a model whose parameters or buffers have changed since.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> operator = curvature_operator(layer, (torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)))
    >>> operator.shape, operator @ torch.ones(1)
    ((1, 1), tensor([5.]))
    """
    with prepared(model, batches, loss, kind, statistics, seed, ghost_batch_size) as measured:
        return CurvatureOperator(measured)
