"""The mode in which instruments look at a module: that in which it trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.modes import batch_norm_statistics
from normfield.measure.subject.untouched import untouched


@contextmanager
def as_trained(function: ModelFunction, statistics: str) -> Iterator[None]:
    """Hold a model in training mode while open, its batch norms with the chosen statistics; then it is as before.

    A model in eval mode, as it comes from a file, is taken in training mode as a whole; of one in training mode every
    submodule stays as it is. Dropout that is on draws the same masks, by the function's seed, at every call.

    Raises
    ------
    InvalidInput
        A seed that is none, statistics that do not fit the model.
    """
    with untouched(function.model, function.seed, function.device):
        if not function.model.training:
            function.model.train()
        with batch_norm_statistics(function.model, statistics):
            yield
