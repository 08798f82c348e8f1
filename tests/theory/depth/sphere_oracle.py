"""A batch drawn at random, and the definitions of depth's rates on it: independent of every quadrature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.network import ActivationFunction
from normfield.theory import ops
from normfield.theory.gaussian import derivative


@dataclass(frozen=True)
class Drawn:
    """Many batches of pre-activations with covariance κG: normalised ones u, φ and φ′ there, and (‖y‖² + Bε)/B."""

    u: np.ndarray
    h: np.ndarray
    slopes: np.ndarray
    normaliser: np.ndarray
    gamma: float

    @property
    def batch_size(self):
        return self.u.shape[1]

    def pulled_back(self, gradients):
        """JᵀΔ of each batch, J = diag(φ′)γ/√D (G − uuᵀ/B), D = (‖y‖² + Bε)/B."""
        g = gradients * self.slopes
        g = g - g.mean(axis=1, keepdims=True) - self.u * (self.u * g).mean(axis=1, keepdims=True)
        return self.gamma * g / np.sqrt(self.normaliser)[:, None]


def draw(phi: ActivationFunction, batch_size, gamma, beta, eps, variance, samples, seed) -> Drawn:
    g = np.random.default_rng(seed).standard_normal((samples, batch_size))
    y = np.sqrt(variance) * (g - g.mean(axis=1, keepdims=True))
    squares = (y * y).sum(axis=1)
    normaliser = squares / batch_size + eps
    u = y / np.sqrt(normaliser)[:, None]
    h = phi.function(ops, gamma * u + beta)
    slopes = derivative(phi)(gamma * u + beta)
    return Drawn(u, h, slopes, normaliser, gamma)


def estimate(values):
    """Mean and standard error."""
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


def spread(drawn):
    """E h₁² − E h₁h₂, as B/(B−1) times the batch's variance."""
    return estimate(drawn.h.var(axis=1, ddof=1))


def second_moment(drawn):
    return estimate((drawn.h**2).mean(axis=1))


def explosion(drawn, weight_variance, seed):
    """Growth of ‖δ‖² per layer for gradients that sum to 0 over the batch."""
    delta = np.random.default_rng(seed).standard_normal(drawn.u.shape)
    delta -= delta.mean(axis=1, keepdims=True)
    back = weight_variance * (drawn.pulled_back(delta) ** 2).sum(axis=1)
    return estimate(back / (drawn.batch_size - 1))


def forward(drawn, direction, variance, weight_variance):
    """⟨Λ, UΛ⟩/⟨Λ, Λ⟩ of the linearised covariance map, U{Λ} = σ_w²E[h hᵀ·½(yᵀΛy/κ² − tr Λ/κ)]."""
    y = drawn.u * np.sqrt(drawn.normaliser)[:, None] / variance
    density = (np.einsum("si,ij,sj->s", y, direction, y) - np.trace(direction) / variance) / 2
    projected = np.einsum("si,ij,sj->s", drawn.h, direction, drawn.h)
    return estimate(weight_variance * density * projected / (direction**2).sum())


def norm_direction(batch_size, seed):
    """An element of 𝕃: G diag(x) G with Σx = 0."""
    G = np.eye(batch_size) - 1 / batch_size
    x = np.random.default_rng(seed).standard_normal(batch_size)
    return G @ np.diag(x - x.mean()) @ G


def correlation_direction(batch_size, seed):
    """An element of 𝕄: zero diagonal and zero row sums, by projecting to and fro."""
    rng = np.random.default_rng(seed)
    G = np.eye(batch_size) - 1 / batch_size
    a = rng.standard_normal((batch_size, batch_size))
    a = a + a.T
    for _ in range(400):
        a = G @ a @ G
        np.fill_diagonal(a, 0.0)
    return a


def cross_batch_slope(drawn, weight_variance):
    """σ_w·tr E[J]/(B−1), whose square is λ_CB."""
    B = drawn.batch_size
    inner = (1 - 1 / B) - drawn.u**2 / B
    trace = drawn.gamma * (drawn.slopes * inner).sum(axis=1) / np.sqrt(drawn.normaliser)
    return estimate(np.sqrt(weight_variance) * trace / (B - 1))
