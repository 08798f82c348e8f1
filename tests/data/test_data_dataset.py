"""DataSet and Batches: what they hold, and what they refuse."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import torch

from normfield.data import DataSet
from normfield.errors import InvalidInput


def small(samples: int = 10, **changes) -> DataSet:
    inputs = torch.arange(samples * 6, dtype=torch.float32).reshape(samples, 2, 3)
    return DataSet("small", inputs, torch.arange(samples) % 3, 3, **changes)


def test_properties_follow_the_tensors():
    data = small()
    assert (data.samples_used, data.samples_total, data.input_shape, data.outputs) == (10, 10, (2, 3), 3)


def test_it_is_frozen_and_compares_by_identity():
    data = small()
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "other"  # pyright: ignore[reportAttributeAccessIssue]
    assert data == data
    assert data != small()


def test_line_says_name_count_shape_standardisation_and_note():
    data = small(samples_total=5000, standardise="pixel", note="half of it missing")
    assert str(data) == (
        "small: 10 of 5,000 samples, shape (2, 3), 3 classes, a mean and a standard deviation for each pixel; "
        "half of it missing"
    )
    assert repr(data) == f"DataSet({data})"


def test_float_targets_give_the_outputs():
    data = DataSet("rows", torch.ones(4, 2), torch.zeros(4, 7), None)
    assert data.outputs == 7
    assert "7 outputs" in str(data)


def test_batches_use_every_sample_once_and_count_the_rest():
    batches = small().batches(4, seed=3)
    assert len(batches) == 2
    assert batches.dropped == 2
    assert str(batches) == "2 batches of 4 samples, 2 samples dropped"
    firsts = torch.cat([x[:, 0, 0] for x, _ in batches]).tolist()
    assert len(set(firsts)) == 8
    for x, y in batches:
        assert x.shape == (4, 2, 3)
        assert torch.equal(y, (x[:, 0, 0] / 6).long() % 3)


def test_batches_are_a_sequence():
    batches = small().batches(3, seed=0)
    assert torch.equal(batches[-1][0], batches[2][0])
    assert [len(x) for x, _ in batches[1:]] == [3, 3]
    with pytest.raises(IndexError):
        batches[3]


def test_order_depends_on_the_seed_alone():
    data = small(64)
    torch.manual_seed(1)
    one = torch.cat([y for _, y in data.batches(8, seed=5)])
    torch.manual_seed(2)
    assert torch.equal(one, torch.cat([y for _, y in data.batches(8, seed=5)]))
    assert not torch.equal(one, torch.cat([y for _, y in data.batches(8, seed=6)]))
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(one, torch.cat([y for _, y in data.batches(8, seed=generator)]))


def test_global_random_state_is_not_touched():
    np_state = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    before = torch.get_rng_state(), np_state, random.getstate()
    small().batches(2, seed=0)
    small().subset(3, seed=0)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state(legacy=False)["state"]["key"]).all()  # noqa: NPY002
    assert before[2] == random.getstate()


def test_subset_takes_the_first_and_keeps_the_total():
    data = small(test_inputs=torch.ones(2, 2, 3), test_targets=torch.tensor([0, 1])).subset(4)
    assert torch.equal(data.inputs, small().inputs[:4])
    assert (data.samples_used, data.samples_total) == (4, 10)
    assert data.test_inputs is not None
    assert len(data.test_inputs) == 2


def test_random_subset_is_drawn_without_replacement():
    data = small().subset(9, seed=1)
    firsts = data.inputs[:, 0, 0].tolist()
    assert len(set(firsts)) == 9
    assert firsts != sorted(firsts)
    assert torch.equal(data.targets, (data.inputs[:, 0, 0] / 6).long() % 3)


def test_flattened_and_shaped_reshape_both_parts():
    data = small(test_inputs=torch.ones(2, 2, 3), test_targets=torch.tensor([0, 1]))
    flat = data.flattened()
    assert flat.input_shape == (6,)
    assert flat.test_inputs is not None
    assert flat.test_inputs.shape == (2, 6)
    assert torch.equal(flat.shaped((2, 3)).inputs, data.inputs)


def test_squared_targets_are_one_hot_or_the_floats():
    assert small(4).squared_targets(torch.float64).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert small(4).squared_targets(torch.float64).dtype == torch.float64
    rows = torch.tensor([[0.5, 2.0]])
    assert torch.equal(DataSet("rows", torch.ones(1, 2), rows, None).squared_targets(), rows)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.batches(0, 0), "expected batch_size as a whole number from 1 up, got 0"),
        (lambda d: d.batches(11, 0), "expected batch_size of at most 10, the number of samples, got 11"),
        (lambda d: d.batches(2, -1), r"expected seed as a whole number from 0 to 2\*\*63 - 1, got -1"),
        (lambda d: d.subset(2.5), "expected samples as a whole number from 1 up, got 2.5"),
        (lambda d: d.subset(11), "expected at most 10 samples of small, got 11; ask for fewer samples"),
        (lambda d: d.shaped((7,)), r"expected a shape with the 6 entries of \(2, 3\), got \(7,\) with 7"),
        (lambda d: d.shaped((-2, -3)), r"expected a shape with the 6 entries"),
    ],
)
def test_bad_calls_are_one_line(call, message):
    with pytest.raises(InvalidInput, match=f"^{message}[^\n]*$"):
        call(small())


LABELS = torch.tensor([0, 1])
NAN = torch.tensor([[1.0, 2.0], [float("nan"), float("inf")]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"inputs": torch.ones(0, 2)},
            r"at least one sample and one entry, got empty data of shape \(0, 2\)",
        ),
        (
            {"inputs": torch.ones(2)},
            r"of shape \(samples, ...\) with at least two dimensions, got shape \(2,\)",
        ),
        ({"inputs": NAN}, r"got 2 NaN or infinite of 4 values, the first at index \(1, 0\)"),
        ({"inputs": torch.ones(2, 2).double()}, r"inputs of type torch.float32, got torch.float64"),
        ({"inputs": [[1.0], [2.0]]}, "inputs as a torch.Tensor, got list"),
        (
            {"targets": torch.tensor([0, 1, 1])},
            "as many training targets as inputs, got 2 inputs and 3 targets",
        ),
        (
            {"targets": torch.tensor([0, 2])},
            "labels in training targets from 0 to 1, got 1 outside, the first 2 at",
        ),
        ({"targets": torch.tensor([-1, 1])}, "got 1 outside, the first -1 at index 0"),
        (
            {"targets": torch.tensor([0.0, 1.0])},
            r"as int64 of shape \(samples,\) or \(samples, positions\), got torch.float32",
        ),
        (
            {"targets": torch.ones(2), "classes": None},
            r"float training targets of shape \(samples, outputs\)",
        ),
        ({"targets": NAN, "classes": None}, "finite training targets"),
        ({"standardise": "both"}, "standardise as one of global, pixel, none, got 'both'"),
        ({"test_inputs": torch.ones(1, 2)}, "test inputs and test targets, or neither"),
        (
            {"test_inputs": torch.ones(2, 3), "test_targets": LABELS},
            r"test inputs of shape \(2,\), got \(3,\)",
        ),
    ],
)
def test_bad_fields_are_refused(fields, message):
    good = {"name": "bad", "inputs": torch.ones(2, 2), "targets": LABELS, "classes": 2}
    with pytest.raises(InvalidInput, match=f"^expected [^\n]*{message}[^\n]*$"):
        DataSet(**(good | fields))
