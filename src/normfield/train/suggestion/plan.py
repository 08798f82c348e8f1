"""How long the short runs are, and how many gradients all of them may take."""

from __future__ import annotations

from dataclasses import dataclass

from normfield.errors import InvalidInput

SURVEY_RATES, SURVEY_SPACING, SURVEY_ABOVE = 7, 0.5, 0.75
"""Rates of the survey, their distance in decades, and how far above η* the highest lies: from there the lowest is 2.25
decades below it. The best rate of the 23 networks of digits, MNIST and CIFAR-10 on which this was made lay between 2.0
decades below η* and 0.9 above; where it is beyond an end, the survey goes on."""
LOOK_RATES, LOOK_SPACING = 3, 0.25
_SURVEY_SHARE, _LOOK_SHARE = 1 / 16, 1 / 6  # of the full run, at an effort of two full runs
_EFFORT = 2.0
_LEAST_STEPS = 16


@dataclass(frozen=True)
class Plan:
    """Steps of the full run and of the two kinds of short runs, and the gradients that may be taken in all."""

    full_steps: int
    survey_steps: int
    look_steps: int
    restarts: int
    allowed: int

    @property
    def wave(self) -> int:
        """Gradients of one more rate in the closer look."""
        return self.restarts * self.look_steps

    @property
    def look(self) -> int:
        """Gradients of the closer look's first rates."""
        return LOOK_RATES * self.wave


def plan_for(full_steps: int, restarts: int, effort: float) -> Plan:
    """Shares of the full run by the effort; more restarts get shorter runs each.

    Raises
    ------
    InvalidInput
        The full run is so short that there is nothing to foretell.
    """
    if full_steps < _LEAST_STEPS:
        raise InvalidInput(
            expected=f"a full run of at least {_LEAST_STEPS} steps",
            got=str(full_steps),
            instead="train so short a run at several rates with nf.train_ensemble",
        )
    scale = effort / _EFFORT
    survey = min(full_steps, max(1, int(full_steps * _SURVEY_SHARE * scale)))
    look = min(full_steps, max(survey, int(full_steps * _LOOK_SHARE * scale * 2 / restarts)))
    return Plan(full_steps, survey, look, restarts, int(effort * full_steps))
