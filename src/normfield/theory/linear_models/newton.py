"""The least mean loss of a halfspace over samples, by Newton's method; or that there is none."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from normfield.errors import InvalidInput, NumericalFailure
from normfield.theory.linear_models.margin_loss import MarginLoss

_STEPS, _DECREMENT = 200, 1e-24


def least_point(loss: MarginLoss, samples: np.ndarray) -> np.ndarray:
    """The w̃ (d,) with the least mean φ(zᵀw̃) over samples z (n, d).

    Raises
    ------
    InvalidInput
        Some w has zᵀw ≤ 0 for all samples, and < 0 for one: the loss then only falls along it and has no minimum.
    NumericalFailure
        Newton's method did not come to rest.
    """
    _check_mixed(samples)
    w = np.zeros(samples.shape[1])
    for _ in range(_STEPS):
        t = samples @ w
        gradient = samples.T @ loss.slope(t) / len(samples)
        step = np.linalg.solve((samples.T * loss.bend(t)) @ samples / len(samples), gradient)
        decrement = float(gradient @ step)
        if decrement <= _DECREMENT:
            return w - step
        w = w - _shortened(loss, samples, w, step, decrement) * step
    raise NumericalFailure(f"Newton's method did not find the least loss in {_STEPS} steps", w)


def _shortened(
    loss: MarginLoss, samples: np.ndarray, w: np.ndarray, step: np.ndarray, decrement: float
) -> float:
    """1, halved until the loss falls by a quarter of what its slope promises, or the change is round-off."""
    before, factor = loss.value(samples @ w).mean(), 1.0
    while factor > 1e-10 and decrement > 1e-12:
        if loss.value(samples @ (w - factor * step)).mean() <= before - factor * decrement / 4:
            break
        factor /= 2
    return factor


def _check_mixed(samples: np.ndarray) -> None:
    """Look for a w with zᵀw ≤ 0 for all samples and a negative sum, by linear programming.

    Such w can be scaled up, so that one within −1…1 reaches an end; without one only 0 is left, to the solver's slack.
    """
    found = linprog(
        samples.sum(axis=0) / np.abs(samples).max(),
        A_ub=samples,
        b_ub=np.zeros(len(samples)),
        bounds=(-1, 1),
        method="highs",
    )
    if found.status == 0 and np.abs(found.x).max() > 0.5:
        raise InvalidInput(
            expected="classes that no halfspace separates",
            got=f"{len(samples)} samples that one does, wholly or but for ties, so that the loss has no minimum",
            instead="give more samples, or leave out inputs that vary in few of them",
        )
