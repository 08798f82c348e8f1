"""Many descents side by side, one per column."""

from __future__ import annotations

import numpy as np

from normfield.theory.linear_models.objectives.objective import Objective
from normfield.theory.linear_models.steps.method import Method, State
from normfield.theory.linear_models.watching import Watch


def run(objective: Objective, method: Method, starts: np.ndarray, rates: np.ndarray, watch: Watch) -> State:
    """Take all steps from starts (d, n) at learning rates (n,), watched, and return where they end."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        state: State = method.begin(objective, starts, rates)
        watch.see(0, state)
        for number in range(1, int(watch.recorded[-1]) + 1):
            state = method.advance(objective, state, rates, number)
            watch.see(number, state)
    return state
