"""Structured samples: reading, splitting and calling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from normfield.errors import InvalidInput
from normfield.samples import apply, count, leaves, like, mapped, read_samples, shape_words, split_targets


class _ByKeyword(nn.Module):
    def forward(self, left, right=None):
        return left if right is None else left - right


class _ByDict(nn.Module):
    def forward(self, batch):
        return batch["left"] - batch["right"]


def test_structures_keep_their_form_and_their_tensors():
    given = {"a": np.zeros((3, 2)), "b": [torch.ones(3), (torch.arange(3),)]}
    read = read_samples(given, "inputs")
    assert count(read) == 3
    assert [tuple(x.shape) for x in leaves(read)] == [(3, 2), (3,), (3,)]
    doubled = mapped(read, lambda x: 2 * x)
    assert torch.equal(doubled["b"][1][0], torch.tensor([0, 2, 4]))
    assert shape_words(read) == "{a: (3, 2), b: ((3,), ((3,)))}"
    assert shape_words(torch.zeros(4, 1)) == "shape (4, 1)"


def test_only_floating_point_values_take_the_dtype():
    read = like({"tokens": torch.arange(3), "x": torch.zeros(3)}, torch.zeros(1, dtype=torch.float64))
    assert read["tokens"].dtype == torch.int64
    assert read["x"].dtype == torch.float64


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("text", "inputs as a tensor or an array, or a tuple, list or dict of such, got str"),
        ({}, "got an empty structure"),
        ((torch.zeros(3), torch.zeros(2)), "one first dimension, the samples, got ((3,), (2,))"),
        ({"a": torch.tensor(1.0)}, "inputs['a'] with a first dimension of samples, got a scalar"),
        ([torch.tensor([1.0, np.inf])], "finite inputs[0], got 1 NaN or infinite values"),
        (np.array(["a"]), "numeric inputs"),
    ],
)
def test_what_cannot_be_read_says_where(given, words):
    with pytest.raises(InvalidInput) as caught:
        read_samples(given, "inputs")
    assert words in str(caught.value)


def test_positional_keyword_and_whole_dict_calls_agree():
    left, right = torch.tensor([3.0]), torch.tensor([1.0])
    for model, inputs in (
        (_ByKeyword(), (left, right)),
        (_ByKeyword(), {"right": right, "left": left}),
        (_ByDict(), {"left": left, "right": right}),
        (_ByDict(), ({"left": left, "right": right},)),
    ):
        assert apply(model, inputs).item() == 2.0
    assert apply(_ByKeyword(), left).item() == 3.0


def test_targets_are_found_in_pairs_and_mappings():
    x, y = torch.zeros(2), torch.ones(2)
    assert split_targets((x, y), "batch 1") == (x, y)
    assert split_targets({"inputs": x, "targets": y}, "batch 1") == (x, y)
    inputs, targets = split_targets({"tokens": x, "mask": x, "labels": y}, "batch 1")
    assert list(inputs) == ["tokens", "mask"]
    assert targets is y


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ((torch.zeros(2),), "batch 1 is a tuple of 1"),
        ({"a": 1}, "batch 1 with a"),
        ({"labels": 1}, "batch 1 with labels"),
        ({"x": 1, "y": 2, "labels": 3}, "batch 1 with x, y, labels"),
        (3, "batch 1 is a int"),
    ],
)
def test_items_without_one_target_are_refused(item, words):
    with pytest.raises(InvalidInput) as caught:
        split_targets(item, "batch 1")
    assert words in str(caught.value)
