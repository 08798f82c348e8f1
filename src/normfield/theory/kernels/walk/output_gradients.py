"""Where the way back begins: the second moment of the loss's gradient at the outputs of random networks.

Outputs are C independent draws f_c ~ N(0, K^L). Of the squared loss ½‖f − y‖² averaged over B samples δ = (f − y)/B, so

    Π^L = Σ_c E[δ_c δ_cᵀ] = (C K^L + Y Yᵀ)/B²,

of softmax cross-entropy δ = (p − y)/B with p = softmax f, a mean over draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput
from normfield.theory.kernels.layer.centred import host
from normfield.theory.kernels.walk.softmax import softmax_outputs


def target_rows(targets: Any, samples: int, outputs: int) -> np.ndarray:
    """Targets Y (B, C): as they are, or whole numbers below C as rows of zeros with one 1.

    Raises
    ------
    InvalidInput
        Another shape, or numbers that are no classes.
    """
    y = np.asarray(targets)
    if y.shape == (samples, outputs) and np.isrealobj(y) and np.all(np.isfinite(y)):
        return y.astype(float)
    is_labels = y.shape == (samples,) and np.issubdtype(y.dtype, np.integer)
    if is_labels and np.all((y >= 0) & (y < outputs)):
        return np.eye(outputs)[y]
    raise InvalidInput(
        expected=f"finite targets of shape ({samples}, {outputs}), or {samples} classes from 0 to {outputs - 1}",
        got=f"shape {y.shape} of {y.dtype}",
    )


def squared_loss_gradient(nngp: Any, outputs: int, targets: np.ndarray | None) -> Any:
    """(C K + Y Yᵀ)/B²; without targets those are 0.

    Parameters
    ----------
    nngp : array
        K^L (B, B).
    outputs : int
        C.
    targets : array (B, C), optional
    """
    xp = array_namespace(nngp)
    total = outputs * nngp
    if targets is not None:
        total = total + xp.asarray(targets @ targets.T, dtype=nngp.dtype, device=nngp.device)
    return total / nngp.shape[0] ** 2


def cross_entropy_gradient(nngp: Any, outputs: int, targets: np.ndarray, networks: int, seed: int) -> Any:
    """Σ_c E[(p − y)_c (p − y)_cᵀ]/B², the mean over so many random networks."""
    xp = array_namespace(nngp)
    samples = nngp.shape[0]
    total = np.zeros((samples, samples))
    for p in softmax_outputs(host(nngp), outputs, networks, seed):
        total += (p - targets) @ (p - targets).T
    return xp.asarray(total / (networks * samples**2), dtype=nngp.dtype, device=nngp.device)
