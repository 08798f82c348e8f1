"""A caller's own instrument leaves the model as it found it, whatever it does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from normfield.measure.subject.untouched import untouched
from normfield.train.monitoring.moment import Moment


@contextmanager
def _same_parameters(model: nn.Module) -> Iterator[None]:
    """Values, gradients and requests for gradients are put back; inside, no parameter has a gradient."""
    kept = [(p, p.detach().clone(), p.grad, p.requires_grad) for p in model.parameters()]
    for parameter, *_ in kept:
        parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value, gradient, required in kept:
                parameter.requires_grad_(required)
                if not torch.equal(parameter, value):
                    parameter.copy_(value)
                parameter.grad = gradient


class Guarded:
    """An instrument around a function of the caller's: model and global random state afterwards as before.

    Parameters
    ----------
    function : callable of a Moment
    """

    def __init__(self, function: Callable[[Moment], Any]) -> None:
        self.function = function

    def __call__(self, moment: Moment) -> Any:
        """What the function returns, gradients enabled and the global generators started at the moment's seed."""
        device = next(moment.model.parameters()).device
        with untouched(moment.model, moment.seed, device), _same_parameters(moment.model):
            return self.function(moment)
