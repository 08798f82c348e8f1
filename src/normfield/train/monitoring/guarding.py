"""A caller's own instrument leaves the model as it found it, whatever it does with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from normfield.measure.subject.untouched import untouched
from normfield.train.monitoring.moment import Moment
from normfield.train.monitoring.put_back import same_tensors


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
        with untouched(moment.model, moment.seed, device), same_tensors(moment.model):
            return self.function(moment)
