"""The curvature of softmax cross-entropy from both kernels: outputs drawn from the one, eigenvalues by the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh


def _root(kernel: np.ndarray) -> np.ndarray:
    """A (B, B) with AAᵀ = K, for K positive semi-definite but for round-off."""
    values, vectors = np.linalg.eigh(kernel)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def softmax_outputs(nngp: np.ndarray, outputs: int, networks: int, seed: int) -> Iterator[np.ndarray]:
    """Softmax of C independent draws from N(0, K), (B, C), for each of many random networks."""
    generator, root = np.random.default_rng(seed), _root(nngp)
    for _ in range(networks):
        logits = root @ generator.standard_normal((len(root), outputs))
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        yield p / p.sum(axis=1, keepdims=True)


class _Product(LinearOperator):
    """v ↦ Rᵀ(Θ ⊗ 1)R v/B with each sample's R = diag(√p)(1 − √p√pᵀ)."""

    def __init__(self, ntk: np.ndarray, p: np.ndarray) -> None:
        super().__init__(np.dtype(float), (p.size, p.size))
        self._ntk, self._root = ntk, np.sqrt(p)

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        s = self._root
        v = x.reshape(s.shape)
        rooted = s * (v - s * np.sum(s * v, axis=1, keepdims=True))
        pulled = s * (self._ntk @ rooted) / len(s)
        return (pulled - s * np.sum(s * pulled, axis=1, keepdims=True)).ravel()


def _largest(matrix: LinearOperator, start: np.ndarray) -> float:
    """The top eigenvalue to four digits."""
    return float(eigsh(matrix, k=1, v0=start, tol=1e-4, return_eigenvectors=False)[0])  # pyright: ignore[reportArgumentType]


def softmax_eigenvalues(
    nngp: np.ndarray, ntk: np.ndarray, outputs: int, networks: int, seed: int
) -> np.ndarray:
    """Top Gauss–Newton eigenvalue of the cross-entropy for each of many random networks (networks,).

    Parameters
    ----------
    nngp, ntk
        K and Θ of one output (B, B).
    outputs
        C.
    networks, seed
        Size of the draw.
    """
    start = np.random.default_rng(seed).standard_normal(len(ntk) * outputs)
    drawn = softmax_outputs(nngp, outputs, networks, seed)
    return np.array([_largest(_Product(ntk, p), start) for p in drawn])
