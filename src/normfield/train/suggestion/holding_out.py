"""A part of the training data by which rates are compared, so that the test data stay unseen."""

from __future__ import annotations

from dataclasses import replace

from normfield.data import DataSet
from normfield.data.batching import shuffled_order, taken
from normfield.samples import leaves

_SHARE, _MOST, _FEWEST = 5, 1024, 32
_SEED = 0


def with_held_out(data: DataSet, batch_size: int | None) -> tuple[DataSet, int]:
    """(data whose test part is a fifth of the training samples, at most 1,024; how many these are).

    A whole number of batches where they fill one. None are held out of a full batch, or where they would be fewer than
    32 or leave less than a batch: then there is no test part.
    """
    held = _number(data.samples_used, batch_size)
    if held == 0:
        return replace(data, test_inputs=None, test_targets=None), 0
    order = shuffled_order(data.samples_used, _SEED).to(next(leaves(data.inputs)).device)
    rest, chosen = order[held:], order[:held]
    parts = {
        "inputs": taken(data.inputs, rest),
        "targets": taken(data.targets, rest),
        "test_inputs": taken(data.inputs, chosen),
        "test_targets": taken(data.targets, chosen),
    }
    return replace(data, **parts), held


def _number(samples: int, batch_size: int | None) -> int:
    if batch_size is None:
        return 0
    held = min(samples // _SHARE, _MOST)
    held -= held % batch_size if held >= batch_size else 0
    return held if held >= _FEWEST and samples - held >= batch_size else 0
