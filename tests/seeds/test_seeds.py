"""Seeds as callers have them: Python's and NumPy's whole numbers, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normfield.data import load
from normfield.errors import InvalidInput
from normfield.nets import build
from normfield.network import mlp
from normfield.seeds import whole_seed
from normfield.train import critical_learning_rate, train_once


@pytest.mark.parametrize("seed", [7, np.int64(7), np.uint8(7), np.array(7), torch.tensor(7)])
def test_whole_numbers_of_any_kind_are_that_number(seed):
    assert whole_seed(seed) == 7
    assert type(whole_seed(seed)) is int


@pytest.mark.parametrize("seed", [-1, 2**63, True, np.True_, 1.0, np.float64(1), "1", None, [1]])
def test_everything_else_is_one_line(seed):
    with pytest.raises(
        InvalidInput, match=r"^expected seed as a whole number from 0 to 2\*\*63 - 1, got [^\n]*$"
    ):
        whole_seed(seed)


def test_numpy_seeds_are_taken_wherever_a_seed_is():
    seed, same = np.int64(3), 3
    data = load((np.eye(4), np.arange(4)), seed=seed)  # pyright: ignore[reportArgumentType]
    order = [batch[1].tolist() for batch in data.batches(2, seed)]  # pyright: ignore[reportArgumentType]
    assert order == [batch[1].tolist() for batch in data.batches(2, same)]
    models = [build(mlp(4, 3, 2, 4), seed=each) for each in (seed, same)]
    runs = [train_once(model, data, learning_rate=0.1, batch_size=2, seed=seed) for model in models]
    assert runs[0].losses == runs[1].losses
    found = critical_learning_rate(
        mlp(4, 3, 2, 4), data, batch_size=2, steps=1, restarts=1, start=0.1, seed=seed, look_for_best=False
    )
    assert '"seed": 3' in found.to_json()
