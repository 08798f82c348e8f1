"""Training that halts: the steps are those of plain descent, and looking at it changes nothing."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from normfield.data import DataSet
from normfield.studies.halted_training import endless_batches, evenly, halts


def batches(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(6, 4, generator=generator), torch.randint(3, (6,), generator=generator))
        for _ in range(count)
    ]


def layer():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Linear(4, 3)


def test_it_halts_before_the_steps_named_with_the_batch_that_each_will_take():
    given = batches(10)
    found = list(halts(layer(), iter(given), [0, 3, 7], learning_rate=0.1))
    assert [step for step, _ in found] == [0, 3, 7]
    assert all(batch is given[step] for step, batch in found)


def test_steps_between_halts_are_torchs():
    mine, theirs = layer(), layer()
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.3, momentum=0.5)
    seen = []
    for step, _ in halts(mine, iter(batches(6)), [0, 2, 5], learning_rate=0.3, momentum=0.5):
        seen.append((step, mine.weight.detach().clone()))
    weights = []
    for inputs, labels in batches(5):
        weights.append(theirs.weight.detach().clone())
        optimizer.zero_grad()
        F.cross_entropy(theirs(inputs), labels).backward()
        optimizer.step()
    weights.append(theirs.weight.detach().clone())
    for step, weight in seen:
        assert torch.allclose(weight, weights[step], atol=1e-6), step
    assert torch.allclose(mine.weight, theirs.weight, atol=1e-6), "the last step named is not made"


def test_the_loss_can_be_another():
    given = [(torch.ones(2, 4), torch.zeros(2, 3))] * 2
    one = layer()
    before = copy.deepcopy(one)
    list(
        halts(
            one,
            iter(given),
            [0, 1],
            learning_rate=0.1,
            loss=lambda outputs, targets: (outputs - targets).sum(),
        )
    )
    assert torch.allclose(one.bias, before.bias - 0.2)


@pytest.mark.parametrize(
    ("steps", "count", "expected"), [(10, 3, [0, 5, 10]), (4, 9, [0, 1, 2, 3, 4]), (7, 2, [0, 7])]
)
def test_halts_are_evenly_spread(steps, count, expected):
    assert evenly(steps, count) == expected


def test_batches_never_end_and_each_pass_has_an_order_of_its_own():
    inputs = torch.arange(7.0)[:, None]
    data = DataSet("seven", inputs, torch.zeros(7, dtype=torch.int64), classes=1)
    endless = endless_batches(data, 3, 5)
    seen = [tuple(next(endless)[0][:, 0].tolist()) for _ in range(8)]
    passes = [seen[k] + seen[k + 1] for k in range(0, 8, 2)]
    assert all(len(set(each)) == 6 for each in passes)
    assert len(set(passes)) == 4
    again = endless_batches(data, 3, 5)
    assert [tuple(next(again)[0][:, 0].tolist()) for _ in range(8)] == seen
