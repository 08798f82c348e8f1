"""What two batches share from layer to layer at infinite width, for any φ, by harmonics on the sphere of one batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, hyp2f1, roots_gegenbauer

from normfield.network import ActivationFunction
from normfield.theory import ops

_TERMS, _NODES = 80, 600


@dataclass(frozen=True)
class Shared:
    """Similarity of two batches' activations sample by sample, and of what batch norm leaves of them."""

    similarity: float
    centred: float


@dataclass(frozen=True)
class SharedByLayer:
    """E φ(√B v₁)φ(√B v₂) of one sample in two batches, expanded in spherical harmonics of n = B − 1 dimensions.

    Pre-activations of the two batches are normal, the same coordinate in both of correlation t; v₁ and v₂ are their
    directions. With a_k² the power of φ(√(B−1)·) in degree k, c_k = 1 − P_k(−1/(B−1)) and P_k Gegenbauer's polynomials,

        E h₁h₂ = Σ a_k² m_k(t),    t ← Σ c_k a_k² m_k(t)/Σ c_k a_k²,
        m_k(t) = E P_k(v₁·v₂) = t^k Γ((n+k)/2)²/(Γ(n/2)Γ(n/2+k)) ₂F₁(k/2, k/2; n/2+k; t²).

    At small t only m₁ is left: its coefficient is λ_CB [Yang].

    Attributes
    ----------
    dimensions
        n.
    power, contrast
        a_k² and c_k (terms,).
    """

    dimensions: int
    power: np.ndarray
    contrast: np.ndarray

    @classmethod
    def of(cls, phi: ActivationFunction, batch_size: int) -> SharedByLayer:
        """Of an activation and a batch size of 4 or more, at γ = 1 and β = 0."""
        n = batch_size - 1
        x, weights = roots_gegenbauer(_NODES, (n - 2) / 2)
        weights = weights / weights.sum()
        values = phi.function(ops, math.sqrt(n) * x)
        at_nodes, apart = _polynomials(x, n), _polynomials(np.array([-1 / n]), n)[:, 0]
        power = (at_nodes @ (weights * values)) ** 2 / (at_nodes**2 @ weights)
        return cls(n, power, 1 - apart)

    def step(self, centred: float) -> Shared:
        """Behind one more layer, from t."""
        moments = self.power * _mean_polynomials(centred, self.dimensions)
        return Shared(
            float(moments.sum() / self.power.sum()),
            float(self.contrast @ moments / (self.contrast @ self.power)),
        )

    def steps(self, correlation: float, layers: int) -> list[Shared]:
        """Behind each layer, from inputs of that correlation sample by sample and independent otherwise."""
        found, centred = [], correlation
        for _ in range(layers):
            found.append(self.step(centred))
            centred = found[-1].centred
        return found


def _polynomials(x: np.ndarray, n: int) -> np.ndarray:
    """P_k(x) with P_k(1) = 1, (terms, len(x)), by their recurrence."""
    found = [np.ones_like(x), x]
    for k in range(1, _TERMS - 1):
        found.append(((2 * k + n - 2) * x * found[k] - k * found[k - 1]) / (k + n - 2))
    return np.array(found)


def _mean_polynomials(t: float, n: int) -> np.ndarray:
    """m_k(t) for every k (terms,)."""
    k, half = np.arange(_TERMS), n / 2
    scale = np.exp(2 * gammaln(half + k / 2) - gammaln(half) - gammaln(half + k))
    return t**k * scale * hyp2f1(k / 2, k / 2, half + k, t * t)
