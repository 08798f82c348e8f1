"""Deep random networks with batch norm, forwards and backwards in NumPy: weights drawn, nothing from the theory."""

from __future__ import annotations

import numpy as np

ACTIVATIONS = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "identity": (lambda x: x, np.ones_like),
}


def normalise(z, eps):
    """Over the batch, the first axis; also 1/√(variance + ε)."""
    centred = z - z.mean(axis=0)
    inverse = 1 / np.sqrt((centred**2).mean(axis=0) + eps)
    return centred * inverse, inverse


def weights(width, variance, rng):
    return rng.standard_normal((width, width)) * np.sqrt(variance / width)


class Simulated:
    """One network of normalised layers (residual: x + Wφ(BN(x))), run forwards on a batch when made."""

    def __init__(self, name, x, depth, seed, gamma=1.0, beta=0.0, eps=0.0, variance=2.0, residual=False):
        rng = np.random.default_rng(seed)
        self.phi, self.slope = ACTIVATIONS[name]
        self.gamma, self.residual = gamma, residual
        self.units, self.slopes, self.inverses, self.matrices, self.activations = [], [], [], [], []
        z = x @ weights(x.shape[1], variance, rng)
        for _ in range(depth):
            u, inverse = normalise(z, eps)
            h = self.phi(gamma * u + beta)
            W = weights(x.shape[1], variance, rng)
            self.units.append(u)
            self.slopes.append(gamma * self.slope(gamma * u + beta))
            self.inverses.append(inverse)
            self.matrices.append(W)
            self.activations.append(h)
            z = z + h @ W if residual else h @ W
        self.seed = seed

    def squared_gradients(self):
        """‖∂f/∂z‖² in front of every layer's norm, for a random f of the last pre-activations."""
        g = np.random.default_rng(self.seed + 10**6).standard_normal(self.units[0].shape)
        found = []
        for u, slopes, inverse, W in zip(
            self.units[::-1], self.slopes[::-1], self.inverses[::-1], self.matrices[::-1], strict=True
        ):
            through = (g @ W.T) * slopes
            back = inverse * (through - through.mean(axis=0) - u * (u * through).mean(axis=0))
            g = g + back if self.residual else back
            found.append((g**2).sum())
        return np.array(found[::-1])

    def spreads(self):
        """B/(B−1) times the variance of activations over the batch, averaged over units, by layer."""
        return np.array([h.var(axis=0, ddof=1).mean() for h in self.activations])

    def covariances(self):
        """h hᵀ/width by layer."""
        return np.array([h @ h.T / h.shape[1] for h in self.activations])
