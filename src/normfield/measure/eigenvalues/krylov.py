"""A growing space of trial vectors for a symmetric matrix G, and what it knows of G's eigenvalues.

Rows are vectors of length P. With Q the orthonormal basis (k, P), the space keeps

    G·Qᵀ = Qᵀ·T + Fᵀ·Eᵀ,   Q·Fᵀ = 0,

T (k, k) the matrix seen from inside, F (b, P) what of G·Qᵀ lies outside, E (k, b) which basis vectors sent it there.
Expanding by F is block Lanczos; expanding by anything else is a restart that loses nothing; replacing Q by Ritz
vectors keeps the form and is a thick restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch import Tensor

_MOST_BLOCKS = 4
"""From so many blocks on F is condensed before it grows."""


class NotFinite(ArithmeticError):
    """A product with the matrix gave NaN or infinity."""


@dataclass(frozen=True)
class Ritz:
    """Eigenvalues seen from a space, descending, with the norms of their residuals G·y − θ·y.

    Attributes
    ----------
    values, residuals : numpy.ndarray
        (k,), float64.
    coefficients : numpy.ndarray
        (k, k), the columns y in the basis.
    """

    values: np.ndarray
    residuals: np.ndarray
    coefficients: np.ndarray


def _eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, ascending, and eigenvectors, by torch: numpy's own threads would compete with those of products."""
    values, vectors = torch.linalg.eigh(torch.from_numpy(matrix))
    return values.numpy(), vectors.numpy()


def _inner(left: Tensor, right: Tensor) -> np.ndarray:
    """left·rightᵀ in float64 on the host."""
    return (left @ right.T).double().cpu().numpy()


def _combine(coefficients: np.ndarray, rows: Tensor) -> Tensor:
    """coefficientsᵀ·rows."""
    return torch.from_numpy(coefficients.T.copy()).to(rows) @ rows


def _combine_blocks(coefficients: np.ndarray, blocks: list[Tensor]) -> Tensor:
    """coefficientsᵀ·rows, the rows in blocks."""
    parts = np.split(coefficients, np.cumsum([len(block) for block in blocks])[:-1])
    rows = _combine(parts[0], blocks[0])
    for part, block in zip(parts[1:], blocks[1:], strict=True):
        rows += _combine(part, block)
    return rows


def _noise(rows: Tensor) -> float:
    """What counts as round-off beside 1."""
    return 32 * torch.finfo(rows.dtype).eps


def _independent(rows: Tensor, limit: float) -> Tensor:
    """Orthonormal combinations of rows (b, P) whose singular value exceeds limit (and the Gram matrix's noise)."""
    if len(rows) == 0:
        return rows
    values, vectors = _eigh(_inner(rows, rows))
    kept = (values > limit**2) & (values > _noise(rows) * values[-1])
    if len(rows) == 1 and kept.all():
        return rows.mul_(float(values[0]) ** -0.5)
    return _combine(vectors[:, kept] / np.sqrt(values[kept]), rows)


def _gram(blocks: list[Tensor]) -> np.ndarray:
    """All inner products between the rows of some blocks."""
    if not blocks:
        return np.zeros((0, 0))
    upper = {(i, j): _inner(left, right) for (i, left), (j, right) in _pairs(blocks)}
    order = range(len(blocks))
    return np.block([[upper[i, j] if i <= j else upper[j, i].T for j in order] for i in order])


def _pairs(blocks: list[Tensor]) -> Iterator[tuple[tuple[int, Tensor], tuple[int, Tensor]]]:
    """Every two numbered blocks, each with itself too."""
    return combinations_with_replacement(enumerate(blocks), 2)


class KrylovSpace:
    """The space and its matrices.

    Parameters
    ----------
    product : callable
        q (P,) ↦ G·q (P,), a new tensor each time.

    Attributes
    ----------
    products : int
        Products spent.
    """

    def __init__(self, product: Callable[[Tensor], Tensor]) -> None:
        self.products = 0
        self._product = product
        self._basis: list[Tensor] = []  # blocks of Q
        self._outside: list[Tensor] = []  # blocks of F
        self._outside_gram = np.zeros((0, 0))
        self._seen = np.zeros((0, 0))  # T
        self._sent = np.zeros((0, 0))  # E

    @property
    def dimension(self) -> int:
        """k."""
        return len(self._seen)

    @property
    def scale(self) -> float:
        """The largest modulus of a Ritz value, 0 for an empty space."""
        return float(np.abs(_eigh(self._seen)[0]).max()) if self.dimension else 0.0

    @property
    def ways_out(self) -> int:
        """b: how many rows lead out of the space; 0 for one that G maps to itself."""
        return self._sent.shape[1]

    def expand(self, rows: Tensor) -> int:
        """Take in the directions of rows (b, P), one product for each that is new, and return how many were."""
        new = self._orthonormal(rows)
        del rows  # the products need the memory
        return self._take_in(new)

    def expand_outwards(self, most: int, only_latest: bool = False) -> int:
        """Expand by (at most so many) rows of F, all of them or those of the last expansion: a step of Lanczos."""
        return self._take_in(self._orthonormal(self._leading(most, only_latest))) if self._outside else 0

    def expand_towards(self, coefficients: np.ndarray, most: int) -> int:
        """Expand by the residuals G·y − θ·y of Ritz vectors y, columns (k, n): at most so many of them."""
        if not self._outside:
            return 0
        return self.expand(_combine_blocks(self._sent.T @ coefficients[:, :most], self._outside))

    def _leading(self, most: int, only_latest: bool) -> Tensor:
        """The first rows of F, or of its last block."""
        blocks = self._outside[-1:] if only_latest else self._outside
        return torch.cat(blocks)[:most] if len(blocks) > 1 else blocks[0][:most]

    def ritz(self, since: int = 0) -> Ritz:
        """Eigenvalues of T, or of its part from basis vector `since` on."""
        values, vectors = _eigh(self._seen[since:, since:])
        values, vectors = values[::-1], vectors[:, ::-1]
        loads = self._sent[since:].T @ vectors
        squares = np.einsum("ik,ij,jk->k", loads, self._outside_gram, loads)
        return Ritz(values, np.sqrt(np.maximum(squares, 0)), vectors)

    def vectors(self, coefficients: np.ndarray) -> Tensor:
        """Rows (n, P): the basis combined by columns (k, n)."""
        return _combine_blocks(coefficients, self._basis)

    def compress(self, keep: int) -> None:
        """Keep only the `keep` largest Ritz vectors, and the rows that lead out (a thick restart)."""
        if keep >= self.dimension:
            return
        ritz = self.ritz()
        kept = ritz.coefficients[:, :keep]
        self._basis = [self.vectors(kept)]
        self._seen = np.diag(ritz.values[:keep])
        self._sent = kept.T @ self._sent

    def _project_out(self, rows: Tensor) -> np.ndarray:
        """Remove the basis from rows, in place; return Q·rowsᵀ (k, b)."""
        found = [block @ rows.T for block in self._basis]
        for block, part in zip(self._basis, found, strict=True):
            rows.addmm_(part.T, block, alpha=-1)
        return np.concatenate([part.double().cpu().numpy() for part in found] or [np.zeros((0, len(rows)))])

    def _orthonormal(self, rows: Tensor) -> Tensor:
        """An orthonormal basis of what rows add to the space; dependent rows and round-off are dropped.

        Twice is enough [Parlett, section 6.9]: what the second pass still shortens much was round-off.
        """
        norms = rows.norm(dim=1, keepdim=True)
        rows = rows / torch.where(norms > 0, norms, 1)
        for limit in (_noise(rows), 0.25):
            self._project_out(rows)
            rows = _independent(rows, limit)
        return rows

    def _take_in(self, new: Tensor) -> int:
        """Add orthonormal rows (b, P), which are orthogonal to the basis, and their images."""
        if len(new) == 0:
            return 0
        self._leave_to(new)
        images = self._images(new)
        self._basis.append(new)
        self._border(self._project_out(images))
        self._outside.append(images)
        self._drop_settled()
        return len(new)

    def _leave_to(self, new: Tensor) -> None:
        """Project new rows out of F and drop what of it is settled by them, before their products need the memory."""
        for rows in self._outside:
            rows.addmm_(rows @ new.T, new, alpha=-1)
        if len(self._outside) >= _MOST_BLOCKS:
            self._condense()
        self._drop_settled()

    def _condense(self) -> None:
        """Turn F's rows to its principal directions, so that what combinations of them have settled can be dropped."""
        _, turn = _eigh(_gram(self._outside))
        self._outside = [_combine_blocks(turn, self._outside)]
        self._sent = self._sent @ turn

    def _images(self, new: Tensor) -> Tensor:
        """G·q for every row, or NotFinite."""
        self.products += len(new)
        images = self._product(new[0])[None] if len(new) == 1 else torch.empty_like(new)
        for q, image in zip(new, images, strict=True) if len(new) > 1 else ():
            image.copy_(self._product(q))
        if not torch.isfinite(images.sum()):
            raise NotFinite
        return images

    def _border(self, border: np.ndarray) -> None:
        """Border T by Q·G·(new rows)ᵀ (k + b, b), and E by ones for the new rows."""
        old, added = self.dimension, border.shape[1]
        seen = np.zeros((old + added, old + added))
        seen[:old, :old] = self._seen
        seen[:old, old:], seen[old:, :old] = border[:old], border[:old].T
        seen[old:, old:] = (border[old:] + border[old:].T) / 2
        sent = np.zeros((old + added, self.ways_out + added))
        sent[:old, : self.ways_out] = self._sent
        sent[old:, self.ways_out :] = np.eye(added)
        self._seen, self._sent = seen, sent

    def _drop_settled(self) -> None:
        """Drop the rows of F that are round-off: they lead nowhere."""
        if not self._outside:
            return
        gram = _gram(self._outside)
        alive = np.sqrt(np.diag(gram)) > _noise(self._outside[0]) * self.scale
        splits = np.split(alive, np.cumsum([len(rows) for rows in self._outside])[:-1])
        blocks = [
            rows if kept.all() else rows[torch.from_numpy(kept).to(rows.device)]
            for rows, kept in zip(self._outside, splits, strict=True)
            if kept.any()
        ]
        self._outside, self._outside_gram = blocks, gram[np.ix_(alive, alive)]
        self._sent = self._sent[:, alive]
