"""Images as vectors whose pixels stand in a random order, the same one in every image."""

from __future__ import annotations

from dataclasses import replace

import torch

from normfield.data import DataSet, load
from normfield.studies.image_training.images import held_out

#: Of the order of the pixels, in every study.
_ORDER = 0


def permuted(name: str, samples: int, tests: int) -> DataSet:
    """So many training and test images of a data set, as vectors with permuted pixels.

    Raises
    ------
    InvalidInput
        The set has no test images.
    """
    given = load(name, samples, quiet=True).flattened().with_less_test(tests)
    tested, _ = held_out(given)
    order = torch.randperm(tested.shape[1], generator=torch.Generator().manual_seed(_ORDER))
    return replace(given, inputs=given.inputs[:, order], test_inputs=tested[:, order])
