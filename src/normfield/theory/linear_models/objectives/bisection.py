"""Kohler's bisection: the scale at which the loss along a direction is least."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from normfield.theory.linear_models.objectives.objective import Pull

_DOUBLINGS = 60


class Pulling(Protocol):
    """Whatever has a gradient."""

    def pull(self, points: np.ndarray) -> Pull: ...


def bisected_scale(objective: Pulling, directions: np.ndarray, halvings: int) -> np.ndarray:
    """The a (n,) at which ∂_a f(a·v) changes sign, along columns v (d, n), of a loss that is convex along them.

    The bracket starts at 0, where the loss falls towards the sign of −∂_a f, and doubles until the loss rises again;
    then it is halved ``halvings`` times.
    """
    side = -np.sign(_slope(objective, directions, np.zeros(directions.shape[1])))
    low, high = np.zeros_like(side), side.copy()
    for _ in range(_DOUBLINGS):
        falling = side * _slope(objective, directions, high) < 0
        if not np.any(falling):
            break
        low, high = np.where(falling, high, low), np.where(falling, 2 * high, high)
    for _ in range(halvings):
        middle = (low + high) / 2
        falling = side * _slope(objective, directions, middle) < 0
        low, high = np.where(falling, middle, low), np.where(falling, high, middle)
    return (low + high) / 2


def _slope(objective: Pulling, directions: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.einsum("dn,dn->n", directions, objective.pull(scales * directions).gradient)
