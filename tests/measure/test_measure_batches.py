"""Batches in every form, read once and within a bound."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from normfield.errors import InvalidInput
from normfield.measure import curvature
from normfield.measure.subject.batches import read_batches

X = torch.arange(22.0).reshape(11, 2)
Y = torch.arange(11)


@pytest.mark.parametrize("pair", [(X, Y), [X, Y], (X.numpy(), Y.numpy()), (X, Y.numpy())])
def test_one_pair_is_one_batch(pair: object) -> None:
    read = read_batches(pair)
    assert (len(read.items), read.samples, read.dropped_samples) == (1, 11, 0)
    assert torch.equal(read.items[0].inputs, X)


@pytest.mark.parametrize("form", [list, tuple, iter])
def test_several_pairs(form: type) -> None:
    read = read_batches(form([(X, Y), (X[:4], Y[:4]), (X, Y)]))
    assert [batch.samples for batch in read.items] == [11, 4, 11]


def test_a_short_last_batch_of_a_loader_is_dropped_and_counted() -> None:
    read = read_batches(DataLoader(TensorDataset(X, Y), batch_size=4))
    assert ([batch.samples for batch in read.items], read.dropped_samples) == ([4, 4], 3)
    result = curvature(nn.Linear(2, 11), DataLoader(TensorDataset(X, Y), batch_size=4))
    assert (result.samples, result.batches, result.dropped_samples) == (8, 2, 3)
    assert "(3 in a short last batch dropped)" in str(result)


def test_an_endless_loader_ends_at_the_bound() -> None:
    def endless() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield X, Y

    with pytest.raises(
        InvalidInput, match=r"batches of at most 1 MiB in all, got more by batch 5958; take some"
    ):
        read_batches(endless(), limit=2**20)


def test_values_take_the_dtype_of_the_model_and_labels_stay() -> None:
    result = curvature(nn.Linear(2, 11), (X.double().numpy(), Y.to(torch.int16).numpy()), "cross_entropy")
    assert result.vectors.dtype == torch.float32


def test_integer_inputs_stay_integers() -> None:
    model = nn.Sequential(nn.Embedding(11, 3), nn.Linear(3, 2))
    result = curvature(model, (Y, np.zeros((11, 2))))
    assert result.status == "converged"


def test_squared_loss_takes_any_trailing_shape() -> None:
    column = curvature(nn.Linear(2, 1), (X, torch.ones(11, 1)), kind="hessian").eigenvalues
    flat = curvature(nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), (X, torch.ones(11)), kind="hessian")
    np.testing.assert_allclose(flat.eigenvalues, column)
    block = nn.Sequential(nn.Linear(2, 6), nn.Unflatten(1, (3, 2)))
    assert curvature(block, (X, torch.ones(11, 3, 2))).cluster_size == 6


def test_cross_entropy_over_positions_is_their_mean() -> None:
    """A 1×1 convolution over p positions is a dense layer over m·p samples."""
    torch.manual_seed(0)
    dense = nn.Linear(2, 3)
    wide = nn.Sequential(nn.Conv1d(2, 3, 1))
    wide[0].weight.data, wide[0].bias.data = dense.weight.data[:, :, None], dense.bias.data
    x, y = torch.randn(5, 2, 4), torch.arange(20).reshape(5, 4) % 3
    rows = (x.movedim(1, 2).reshape(20, 2), y.reshape(20))
    for method in ("dense", "lanczos"):
        by_position = curvature(wide, (x, y), "cross_entropy", method=method, tolerance=1e-5)
        by_sample = curvature(dense, rows, "cross_entropy", method=method, tolerance=1e-5)
        assert by_position.largest_eigenvalue == pytest.approx(by_sample.largest_eigenvalue, rel=2e-5)
