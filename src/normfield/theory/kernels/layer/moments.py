"""What a layer's rules give to the recursion of a batch's kernels, whichever way they are computed.

Letters: B samples, K (B, B) the covariance of one unit's pre-activations z, Θ (B, B) their neural tangent kernel,
G = 1 − 11ᵀ/B, y = Gz, R = ‖y‖² + Bε, u = √B·y/√R the normalised pre-activations, h = φ(γu + β), J = ∂h/∂z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BatchNormalisation:
    """γ, β and ε of a batch norm."""

    gamma: float = 1.0
    beta: float = 0.0
    eps: float = 1e-5


@dataclass(frozen=True)
class LayerMoments:
    """Expectations over one unit of a layer, arrays of the namespace of K.

    Attributes
    ----------
    second : array
        E[h hᵀ] (B, B).
    pulled : array
        E[J Θ Jᵀ] (B, B).
    by_scale : array
        E[φ′φ′ᵀ ∘ uuᵀ] (B, B), what γ adds to the tangent kernel; zeros without a norm.
    by_shift : array
        E[φ′φ′ᵀ] (B, B), what β adds.
    mean : array
        E[h] (B,).
    error : float
        Estimated error of the largest entries, relative to the trace; 0 for closed forms.
    status : str
        "" or what is wrong: "diverges: …".
    """

    second: Any
    pulled: Any
    by_scale: Any
    by_shift: Any
    mean: Any
    error: float = 0.0
    status: str = ""
