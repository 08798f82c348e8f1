"""Loaders and data sets of torch: read once, within bounds, without a trace."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from normfield.data import load
from normfield.errors import InvalidInput

X = torch.arange(40.0).reshape(20, 2)
Y = torch.arange(20) % 4
SAMPLE_BYTES = 2 * 4 + 8


def states() -> tuple:
    for_numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return torch.get_rng_state().tolist(), str(for_numpy["pos"]), for_numpy["key"].tolist(), random.getstate()


class Noisy(Dataset):
    """Draws from all three global generators."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int):
        return torch.rand(2) + np.random.rand() + random.random(), i % 2  # noqa: NPY002


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.ones(2), 1


class Broken(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int):
        if i == 5:
            raise OSError("image 5\nis unreadable")
        return torch.ones(2), i


class Mapped(Dataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int):
        return {"inputs": X[i], "targets": Y[i]}


def test_loader_is_read_whole_in_its_order():
    data = load(DataLoader(TensorDataset(X, Y), batch_size=6))
    assert torch.equal(data.inputs, X)
    assert torch.equal(data.targets, Y)
    assert (data.classes, data.samples_total, data.note, data.standardise) == (4, 20, "", "none")


def test_dataset_without_a_loader():
    data = load(TensorDataset(X, Y))
    assert torch.equal(data.inputs, X)
    assert data.name == "TensorDataset"


def test_batches_that_are_mappings():
    assert torch.equal(load(Mapped()).inputs, X[:3])


@pytest.mark.parametrize("source", [DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True), Noisy()])
def test_global_random_state_is_left_and_the_seed_decides(source):
    before = states()
    one = load(source, seed=1).inputs
    assert states() == before
    torch.rand(5)
    assert torch.equal(one, load(source, seed=1).inputs)
    assert not torch.equal(one, load(source, seed=2).inputs)


@pytest.mark.parametrize("own", ["shuffle", "sampler"])
def test_generators_of_the_loader_are_left(own):
    generator = torch.Generator().manual_seed(7)
    data = TensorDataset(X, Y)
    loader = (
        DataLoader(data, batch_size=4, shuffle=True, generator=generator)
        if own == "shuffle"
        else DataLoader(data, batch_size=4, sampler=RandomSampler(data, generator=generator))
    )
    before = generator.get_state()
    first = load(loader).inputs
    assert torch.equal(generator.get_state(), before)
    assert not torch.equal(first, X)


def test_workers_leave_no_trace():
    loader = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True, num_workers=1)
    before = states()
    assert load(loader, samples=6).samples_used == 6
    assert states() == before


def test_reading_stops_at_max_bytes_and_says_so():
    data = load(DataLoader(TensorDataset(X, Y), batch_size=6), max_bytes=8 * SAMPLE_BYTES + 3)
    assert torch.equal(data.inputs, X[:8])
    assert data.samples_total == 20
    assert data.note == (
        "stopped reading at max_bytes=131: 8 samples kept of 20; classes counted from the samples read"
    )


def test_exactly_max_bytes_is_not_a_cut():
    data = load(TensorDataset(X, Y), max_bytes=20 * SAMPLE_BYTES)
    assert (data.samples_used, data.note) == (20, "")


def test_endless_stream_is_cut():
    data = load(DataLoader(Endless(), batch_size=5), max_bytes=1000)
    assert data.samples_used == data.samples_total == 1000 // SAMPLE_BYTES
    assert "62 samples kept of an unknown number" in data.note
    assert load(Endless(), samples=7).samples_used == 7


def test_first_samples_are_read_and_no_more():
    data = load(DataLoader(Broken(), batch_size=1), samples=5)
    assert (data.samples_used, data.samples_total) == (5, 8)
    assert data.note == "classes counted from the samples read"


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_the_loader_are_one_line(workers):
    before = states()
    message = "OSError: image 5 is unreadable at batch 5; correct the data set or the loader"
    with pytest.raises(InvalidInput, match=f"^expected data that can be read to their end, got {message}$"):
        load(DataLoader(Broken(), batch_size=1, num_workers=workers))
    assert states() == before


class Rows(Dataset):
    """Gives the rows it was made of."""

    def __init__(self, *rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int):
        return self.rows[i]


def one_by_one(*rows) -> DataLoader:
    return DataLoader(Rows(*rows), batch_size=1)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (DataLoader(Rows()), {}, "data with at least one sample, got a loader that gives none"),
        (
            one_by_one(torch.ones(2)),
            {},
            r"batches of \(inputs, targets\), got Tensor in batch 0; let the data set",
        ),
        (one_by_one((1, 2, 3)), {}, "got list of 3 in batch 0"),
        (
            one_by_one({"image": 1}),
            {},
            "one of targets, target, labels, label, y and at least one input in a mapping, got batch 0 with image",
        ),
        (
            one_by_one((X[0], 0), (X[0, :1], 0)),
            {},
            r"inputs of one shape and type in all batches, got \(1,\) of",
        ),
        (
            one_by_one((X[0], 0), (X[0] / 0, 0)),
            {},
            r"got 2 NaN or infinite of 4 values, the first at index \(1, 0\)",
        ),
        (one_by_one((X[0], 0.5)), {}, "class labels as integers"),
        (one_by_one((X[0], -3)), {}, "the first -3 at index 0"),
        (
            TensorDataset(X, Y),
            {"max_bytes": 15},
            "max_bytes large enough for one sample, got room for none; raise",
        ),
        (TensorDataset(X, Y), {"samples": 21}, "at most 20 samples of TensorDataset, got 21"),
    ],
)
def test_bad_loaders_are_one_line(source, options, message):
    with pytest.raises(InvalidInput, match=f"^expected [^\n]*{message}[^\n]*$"):
        load(source, **options)
