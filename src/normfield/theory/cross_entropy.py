"""From squared loss to softmax cross-entropy: the factor by which the curvature of the loss shrinks λ_max."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CrossEntropyEigenvalue:
    """Top Gauss–Newton eigenvalue for softmax cross-entropy, with its spread between networks.

    Attributes
    ----------
    mean, low, high
        Mean over networks, and the interval that holds 90 % of them.
    factor
        Mean top eigenvalue of E[diag p − ppᵀ].
    networks, seed
        How many networks were drawn, and from which seed.
    """

    mean: float
    low: float
    high: float
    factor: float
    networks: int
    seed: int

    @classmethod
    def from_factors(
        cls, largest_eigenvalue: float, factors: np.ndarray, seed: int
    ) -> CrossEntropyEigenvalue:
        """The product with λ_max of the squared loss."""
        low, high = np.quantile(factors, [0.05, 0.95])
        mean = float(factors.mean())
        return cls(
            mean=largest_eigenvalue * mean,
            low=largest_eigenvalue * float(low),
            high=largest_eigenvalue * float(high),
            factor=mean,
            networks=len(factors),
            seed=seed,
        )

    def __str__(self) -> str:
        return f"{self.mean:.3g} (90 % of networks between {self.low:.3g} and {self.high:.3g})"


def softmax_covariance_eigenvalues(
    q: float, q_xy: float, outputs: int, *, networks: int = 200, samples: int = 512, seed: int = 0
) -> np.ndarray:
    """Top eigenvalue of S = E_x[diag p − ppᵀ], p = softmax of the initial logits, for each of many networks.

    Logits are a part N(0, q_xy) that all samples of a network share, plus a private part N(0, q − q_xy); pooling them
    as N(0, q) would be wrong by a factor of about 2.

    Parameters
    ----------
    q, q_xy
        Second moment of the logits for one sample and for two.
    outputs
        C.
    networks, samples, seed
        Size of the draw.

    Returns
    -------
    numpy.ndarray
        Shape (networks,).
    """
    generator = np.random.default_rng(seed)
    shared = np.sqrt(max(q_xy, 0.0)) * generator.standard_normal((networks, 1, outputs))
    private = np.sqrt(max(q - q_xy, 0.0)) * generator.standard_normal((networks, samples, outputs))
    logits = shared + private
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    pooled = np.einsum("nsc,nsd->ncd", p, p) / samples
    covariance = np.einsum("nc,cd->ncd", p.mean(axis=1), np.eye(outputs)) - pooled
    return np.linalg.eigvalsh(covariance)[:, -1]
