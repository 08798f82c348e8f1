"""What the running of a descent asks of a method."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from normfield.theory.linear_models.objectives.objective import Local, Objective


class State(Protocol):
    """Where many descents stand, one per column."""

    @property
    def predictor(self) -> np.ndarray:
        """w̃ (d, n), which predicts w̃ᵀx."""
        ...

    @property
    def direction(self) -> np.ndarray:
        """w (d, n), whose direction is that of w̃; without a norm w̃ itself."""
        ...

    @property
    def effective(self) -> np.ndarray:
        """ε̂ (n,) of the step that led here: the error's factor is 1 − ε̂S near the minimum."""
        ...


class Method(Protocol):
    """A rule for the next step; it keeps nothing itself."""

    @property
    def name(self) -> str:
        """A few words for titles and legends."""
        ...

    @property
    def takes_rates(self) -> bool:
        """Whether it has a learning rate to choose."""
        ...

    def begin(self, objective: Objective, starts: np.ndarray, rates: np.ndarray) -> Any:
        """The state before the first step, from starts (d, n) and learning rates (n,)."""
        ...

    def advance(self, objective: Objective, state: Any, rates: np.ndarray, number: int) -> Any:
        """The state after step ``number`` (from 1)."""
        ...

    def local_rates(self, local: Local, effective: np.ndarray) -> np.ndarray:
        """By theory, the factor (n,) per step of √(f − f*) near the minimum; NaN where that is not known."""
        ...
