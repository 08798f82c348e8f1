"""What an instrument is given when its turn has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from normfield.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Moment:
    """A training run at one step.

    Attributes
    ----------
    step : int
        Which call of ``monitor.step`` this is, counted from 0.
    model : nn.Module
        As it was given, with the weights of now. For functions of the caller's, each parameter's ``grad`` is a copy of
        training's gradient, where there is one: call ``model.zero_grad()`` before a backward pass of your own, or take
        `torch.autograd.grad`. Whatever is done to parameters, buffers, gradients, modes and hooks is undone afterwards.
    batches : tuple
        The held batches that the monitor was given, or the step's one batch: pairs (inputs, targets).
    loss
        As it was given.
    optimizer : Optimizer or None
    learning_rate : float or None
        The step's: the largest of the optimizer's parameter groups, or as told to ``monitor.step``.
    statistics : {"batch", "frozen", "running"}
    seed : int
    """

    step: int
    model: nn.Module
    batches: tuple[Any, ...]
    loss: Any
    optimizer: Optimizer | None
    learning_rate: float | None
    statistics: str
    seed: int

    @property
    def batch(self) -> Any:
        """The first of the batches."""
        return self.batches[0]

    def rate_for(self, instrument: str) -> float:
        """The learning rate that an instrument cannot do without; raise InvalidInput where none is known."""
        if self.learning_rate is None:
            raise InvalidInput(
                expected=f"a learning rate for the instrument {instrument!r}",
                got="none",
                instead="give optimizer= to the Monitor, or learning_rate= to step",
            )
        return self.learning_rate


Instrument = Callable[[Moment], Any]
"""Moment ↦ a number; or numbers by quantity, each one number, numbers by layer, or None where there is none."""
