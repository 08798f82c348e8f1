"""The loss and the learning rate of every step, as they were told."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from normfield.errors import InvalidInput

MOST_WAITING = 256
"""Losses on a device that may wait to be read; reading one makes the processor wait for the device."""


class Told:
    """Loss and learning rate by step; None where they were not told."""

    def __init__(self) -> None:
        self._losses: list[float | None] = []
        self._waiting: list[Tensor | float | None] = []
        self._rates: list[float | None] = []

    @property
    def steps(self) -> int:
        """How many steps were told."""
        return len(self._rates)

    def add(self, loss_value: Any, learning_rate: float | None) -> None:
        """One more step; raise InvalidInput where the loss is no single number."""
        self._waiting.append(_kept(loss_value))
        self._rates.append(learning_rate)
        if len(self._waiting) >= MOST_WAITING:
            self._read()

    @property
    def losses(self) -> list[float | None]:
        """By step."""
        self._read()
        return self._losses

    @property
    def learning_rates(self) -> list[float | None]:
        """By step."""
        return self._rates

    @property
    def last_is_finite(self) -> bool:
        """Whether the last step's loss was finite, or not told."""
        last = self.losses[-1]
        return last is None or math.isfinite(last)

    @property
    def first_not_finite(self) -> int | None:
        """The first step whose loss was told and not finite."""
        told = ((step, loss) for step, loss in enumerate(self.losses) if loss is not None)
        return next((step for step, loss in told if not math.isfinite(loss)), None)

    def _read(self) -> None:
        self._losses += [None if value is None else float(value) for value in self._waiting]
        self._waiting.clear()


def _kept(loss_value: Any) -> Tensor | float | None:
    """The value, cut off its graph, still on its device."""
    if loss_value is None:
        return None
    if isinstance(loss_value, Tensor) and loss_value.numel() == 1 and not loss_value.is_complex():
        return loss_value.detach().clone()
    if isinstance(loss_value, Tensor | str | bytes | bool):
        raise _refusal(loss_value)
    try:
        return float(loss_value)
    except (TypeError, ValueError) as error:
        raise _refusal(loss_value) from error


def _refusal(loss_value: Any) -> InvalidInput:
    shape = f" of shape {tuple(loss_value.shape)}" if isinstance(loss_value, Tensor) else ""
    return InvalidInput(
        expected="loss_value as one real number",
        got=f"a {type(loss_value).__name__}{shape}",
        instead="reduce it with .mean()",
    )
