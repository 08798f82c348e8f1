"""First steps against torch's own SGD on a copy, and Yang's explosion that one step removes."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

import normfield as nf


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(inplace=True), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3)
    ).double()


def batches(count: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(16, 6, generator=generator, dtype=torch.float64),
            torch.randint(0, 3, (16,), generator=generator),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_they_are_the_signals_of_a_copy_that_torchs_sgd_trains(momentum):
    model, data = net(), batches()
    before = copy.deepcopy(model.state_dict())
    found = nf.first_steps(model, data, "cross_entropy", learning_rate=0.3, momentum=momentum, steps=5)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    trained = copy.deepcopy(model)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.3, momentum=momentum)
    for step in range(6):
        expected = nf.signals(trained, data[0], "cross_entropy")
        for layer, wanted in zip(found.signals[step].layers, expected.layers, strict=True):
            assert layer.gradient == pytest.approx(wanted.gradient, rel=1e-9)
            assert layer.weight_gradient == pytest.approx(wanted.weight_gradient, rel=1e-9)
            assert layer.weight == pytest.approx(wanted.weight, rel=1e-12)
            assert layer.effective_rank == pytest.approx(wanted.effective_rank, rel=1e-9)
        assert found.losses[step] == pytest.approx(expected.loss_value, rel=1e-10)
        x, y = data[step % 3]
        optimizer.zero_grad()
        nn.functional.cross_entropy(trained(x), y).backward()
        optimizer.step()
    assert (found.status, found.batches) == ("complete", 3)


def test_frozen_parts_do_not_move():
    model = net()
    model[0].requires_grad_(False)
    found = nf.first_steps(model, batches(), "cross_entropy", learning_rate=1.0, steps=2)
    assert [signals.layers[0].mean_square for signals in found.signals] == pytest.approx(
        [found.before.layers[0].mean_square] * 3, rel=1e-14
    )
    assert found.after.layers[1].weight != found.before.layers[1].weight


def test_the_explosion_at_the_start_is_gone_after_a_few_steps():
    """[Yang, Fig. 3] on a ReLU network with batch norm of 24 layers, learning rate 0.1, seed 0."""
    network = nf.mlp(64, 120, 24, 10)
    batch = nf.load("digits").flattened().batches(128, seed=0)[0]
    found = nf.first_steps(nf.build(network, seed=0), batch, learning_rate=0.1, steps=3)
    factors = [growth.factor for growth in found.gradient_growth]
    assert factors[0] > 1.15
    assert factors == sorted(factors, reverse=True)
    assert factors[3] - 1 < 0.5 * (factors[0] - 1)


def test_a_training_that_diverges_ends_early_and_says_where():
    model = nn.Sequential(nn.Linear(6, 30), nn.Linear(30, 30), nn.Linear(30, 3))
    data = [(x.float(), y) for x, y in batches()]
    found = nf.first_steps(model, data, learning_rate=1e4, steps=40)
    assert found.status.startswith("stopped at step ")
    assert "finite" in found.status
    assert 1 < len(found.signals) < 41
    assert found.losses[-1] > found.losses[0]
    assert json.loads(found.to_json())["status"] == found.status


def test_a_loader_is_read_from_the_seed_and_left_as_it_was():
    data = torch.utils.data.TensorDataset(*(torch.cat(parts) for parts in zip(*batches(), strict=True)))
    generator = torch.Generator().manual_seed(5)
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True, generator=generator)
    state = generator.get_state()
    one, two = (nf.first_steps(net(), loader, "cross_entropy", learning_rate=0.1).losses for _ in range(2))
    assert one == two
    assert torch.equal(generator.get_state(), state)


def test_it_prints_converts_and_plots():
    found = nf.first_steps(net(), batches(), "cross_entropy", learning_rate=0.3, steps=9)
    frame = found.to_frame()
    assert list(frame["step"].unique()) == list(range(10))
    assert len(frame) == 30
    kept = json.loads(found.to_json())
    assert kept["steps"][9][0]["gradient"] == found.after.layers[0].gradient
    assert kept["losses"] == list(found.losses)
    names = [trace.name for trace in found.plot().data]
    assert names[:2] == ["at the start", "after step 1"]
    assert names[-1] == "after step 9"
    assert "step 9: loss" in str(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate": 0.0}, "expected a learning_rate above 0, got 0.0"),
        ({"learning_rate": float("nan")}, "expected a learning_rate above 0, got nan"),
        ({"learning_rate": "0.1"}, "expected a learning_rate above 0, got '0.1'"),
        ({"learning_rate": 0.1, "momentum": 1.0}, "expected a momentum from 0 to below 1, got 1.0"),
        ({"learning_rate": 0.1, "steps": 0}, "expected steps as a whole number of at least 1, got 0"),
    ],
)
def test_bad_options_are_one_line(options, words):
    with pytest.raises(nf.InvalidInput) as caught:
        nf.first_steps(net(), batches(), "cross_entropy", **options)
    assert str(caught.value) == words


def test_a_later_batch_that_does_not_fit_is_refused():
    data = batches()
    data[1] = (data[1][0], data[1][1] + 1)
    with pytest.raises(nf.InvalidInput, match="expected labels from 0 to 2"):
        nf.first_steps(net(), data, "cross_entropy", learning_rate=0.1, steps=2)
