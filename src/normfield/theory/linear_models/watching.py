"""What is kept of many descents while they run: recorded steps, and what has to be seen at every step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from normfield.theory.linear_models.objectives.objective import Objective
from normfield.theory.linear_models.steps.method import State


@dataclass
class Watch:
    """Fills as descents run; every array is over the runs (n,) or recorded steps and runs (r, n)."""

    objective: Objective
    tolerance: float
    recorded: np.ndarray
    runs: int
    excess: np.ndarray = field(init=False)
    effective: np.ndarray = field(init=False)
    squared_norms: np.ndarray = field(init=False)
    direction_gaps: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        shape = (len(self.recorded), self.runs)
        self.excess, self.effective, self.squared_norms, self.direction_gaps = (
            np.full(shape, np.nan) for _ in range(4)
        )
        self.reached = np.full(self.runs, -1)
        self.unstable = np.full(self.runs, 0)
        self.least_growth = np.full(self.runs, np.inf)
        self.local = Window(self.runs, *self.objective.local_range)
        self._norms: np.ndarray | None = None

    def see(self, number: int, state: State) -> None:
        """Take note of the state after step ``number``."""
        excess = self.objective.excess(state.predictor)
        relative = excess / self.objective.scale
        self.reached[(self.reached < 0) & (relative <= self.tolerance)] = number
        self.local.see(number, np.sqrt(np.maximum(relative, 0.0)))
        if number:
            self.unstable[~(np.abs(state.effective) * self.objective.eigenvalues[-1] < 2)] = number
        norms = np.einsum("dn,dn->n", state.direction, state.direction)
        if self._norms is not None:
            self.least_growth = np.fmin(self.least_growth, norms / self._norms - 1)
        self._norms = norms
        at = np.searchsorted(self.recorded, number)
        if at < len(self.recorded) and self.recorded[at] == number:
            self.excess[at], self.effective[at], self.squared_norms[at] = excess, state.effective, norms
            self.direction_gaps[at] = direction_gaps(self.objective, state.direction)


class Window:
    """The stretch of steps over which an amplitude is local yet above round-off."""

    def __init__(self, runs: int, local: float, floor: float) -> None:
        self.local, self.floor = local, floor
        self.first, self.last = np.full(runs, -1), np.full(runs, -1)
        self.begun, self.ended = np.full(runs, np.nan), np.full(runs, np.nan)

    def see(self, number: int, amplitude: np.ndarray) -> None:
        """Widen each run's stretch by this step, if it belongs to it; begin anew where the amplitude rose again.

        It does where ε̂ first settles a little above its limit, until ‖w‖ has grown enough.
        """
        self.first[amplitude > self.local] = -1
        inside = (amplitude <= self.local) & (amplitude >= self.floor)
        fresh = inside & (self.first < 0)
        self.first[fresh], self.begun[fresh] = number, amplitude[fresh]
        self.last[inside], self.ended[inside] = number, amplitude[inside]

    def rates(self) -> np.ndarray:
        """Factor per step over the stretch, NaN where it has no two steps."""
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.where(self.last > self.first, self.last - self.first, np.nan)
            return (self.ended / self.begun) ** (1 / steps)


def direction_gaps(objective: Objective, w: np.ndarray) -> np.ndarray:
    """ρ(w) − ρ* = ‖e‖²_S with e = S⁻¹g − (wᵀg/wᵀSw)w, without cancellation."""
    along = (objective.correlation @ w) / (objective.eigenvalues @ np.square(w))
    off = (objective.correlation / objective.eigenvalues)[:, None] - along * w
    return objective.eigenvalues @ np.square(off)


def recorded_steps(steps: int, most: int) -> np.ndarray:
    """Every step up to ``most`` of them; of more, 0, the last, and about ``most`` evenly spread over decades."""
    if steps <= most:
        return np.arange(steps + 1)
    spread = np.geomspace(1, steps, max(most, 2))
    return np.unique(np.concatenate(([0], np.round(spread)))).astype(int)
