"""What descents with momentum share: where they stand, and how fast two-step recursions shrink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.errors import InvalidInput
from normfield.theory.linear_models.reading import one_number


@dataclass(frozen=True, eq=False)
class MovingState:
    """Where a descent with momentum stands, and where it stood a step before, one run per column."""

    predictor: np.ndarray
    before: np.ndarray
    effective: np.ndarray

    @property
    def direction(self) -> np.ndarray:
        return self.predictor


def largest_root(total: np.ndarray, product: np.ndarray) -> np.ndarray:
    """The larger modulus of the roots of z² − total·z + product, over the first axis."""
    apart = np.sqrt((total**2 - 4 * product).astype(complex))
    return (np.maximum(np.abs(total + apart), np.abs(total - apart)) / 2).max(axis=0)


def checked_momentum(given: object) -> float:
    momentum = one_number("momentum", given)
    if not 0 <= momentum < 1:
        raise InvalidInput(expected="momentum in [0, 1)", got=f"{momentum:g}")
    return momentum
