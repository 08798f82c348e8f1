"""One run: the steps are heavy-ball steps, the ending is named rightly, and nothing else moves."""

from __future__ import annotations

import json
import math
import random
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from normfield.data import DataSet
from normfield.train import Run, train_once


def points(samples: int = 24, entries: int = 5, classes: int = 3, seed: int = 0) -> DataSet:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, entries, generator=generator)
    labels = torch.randint(classes, (samples,), generator=generator)
    tests = torch.randn(10, entries, generator=generator)
    test_labels = torch.randint(classes, (10,), generator=generator)
    return DataSet("points", inputs, labels, classes, tests, test_labels)


def normalised(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3)]
        return nn.Sequential(*layers)


def by_hand(inputs, targets, weights, learning_rate, momentum, steps):
    """Heavy ball on mean ½‖Wx − y‖² in the two-point form, and the loss before every step."""
    losses, before = [], weights
    for _ in range(steps):
        residual = inputs @ weights.T - targets
        losses.append(0.5 * (residual**2).sum(1).mean())
        gradient = residual.T @ inputs / len(inputs)
        weights, before = weights - learning_rate * gradient + momentum * (weights - before), weights
    return weights, losses


def test_full_batch_trajectory_is_the_heavy_ball_of_a_hand_written_loop():
    data = points()
    model = nn.Linear(5, 3, bias=False).double()
    began = model.weight.detach().numpy().copy()
    run = train_once(model, data, learning_rate=0.3, momentum=0.7, batch_size=None, epochs=20)
    inputs, targets = data.inputs.numpy().astype(float), np.eye(3)[data.targets.numpy()]
    weights, losses = by_hand(inputs, targets, began, 0.3, 0.7, 20)
    np.testing.assert_allclose(model.weight.detach().numpy(), weights, rtol=0, atol=1e-10)
    np.testing.assert_allclose(run.losses, losses, rtol=0, atol=1e-10)
    assert (run.status, run.diverged_at, run.dropped_samples) == ("finished", None, 0)


def batches_seen(model: nn.Module, run) -> list[torch.Tensor]:
    """The batches of a run's training steps: the last ones that a gradient was wanted of."""
    seen = []
    hook = model.register_forward_hook(
        lambda _, given, __: seen.append(given[0]) if torch.is_grad_enabled() else None
    )
    steps = len(run().losses)
    hook.remove()
    return seen[-steps:]


def test_mini_batches_take_the_steps_of_torch_sgd():
    data = points()
    model, peer = normalised(), normalised()
    order = batches_seen(
        model,
        lambda: train_once(
            model, data, learning_rate=0.1, batch_size=8, epochs=2, loss="cross_entropy", seed=3
        ),
    )
    label_of = {tuple(x.tolist()): y for x, y in zip(data.inputs, data.targets, strict=True)}
    optimiser = torch.optim.SGD(peer.parameters(), lr=0.1, momentum=0.9)
    for batch in order:
        optimiser.zero_grad()
        F.cross_entropy(peer(batch), torch.stack([label_of[tuple(x.tolist())] for x in batch])).backward()
        optimiser.step()
    assert len(order) == 6
    for ours, theirs in zip(model.state_dict().values(), peer.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_every_pass_covers_the_data_in_a_new_order_and_drops_what_fills_no_batch():
    data, model = points(samples=26), normalised()
    runs = []
    order = batches_seen(
        model,
        lambda: runs.append(train_once(model, data, learning_rate=0.1, batch_size=8, epochs=2)) or runs[0],
    )
    passes = [torch.cat(order[:3]), torch.cat(order[3:])]
    for one in passes:
        assert len({tuple(x.tolist()) for x in one}) == 24
    assert not torch.equal(*passes)
    assert runs[0].dropped_samples == 2


def test_steps_override_epochs_and_stop_within_a_pass():
    run = train_once(normalised(), points(), learning_rate=0.1, batch_size=8, epochs=9, steps=4)
    assert len(run.losses) == 4


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_losses_before_and_after_are_those_of_batch_statistics(loss, batch_size):
    data, model = points(), normalised()
    before = normalised()
    run = train_once(model, data, learning_rate=0.05, batch_size=batch_size, loss=loss, epochs=2)
    for module, value in ((before, run.first_loss), (model, run.final_loss)):
        assert value == pytest.approx(mean_over_batches(module, data, loss, batch_size), rel=1e-5)
    assert run.ended_worse is False


def mean_over_batches(model: nn.Module, data: DataSet, loss: str, batch_size: int | None) -> float:
    """The oracle: weights by hand, statistics of each of the fixed batches."""
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    cuts = [torch.arange(24)] if batch_size is None else order.split(batch_size)
    first, norm, last = model[0], model[1], model[4]
    values = []
    for cut in cuts:
        z = F.linear(data.inputs[cut], first.weight, first.bias)
        u = (z - z.mean(0)) / (z.var(0, unbiased=False) + norm.eps).sqrt()
        outputs = F.linear(F.relu(u * norm.weight + norm.bias), last.weight, last.bias)
        if loss == "squared":
            values.append(0.5 * (outputs - F.one_hot(data.targets[cut], 3)).square().sum(1).mean())
        else:
            values.append(F.cross_entropy(outputs, data.targets[cut]))
    return torch.stack(values).mean().item()


def test_test_data_are_judged_by_batch_statistics_too():
    data, model = points(), normalised()
    run = train_once(model, data, learning_rate=0.05, batch_size=None)
    z = model[0](data.test_inputs)
    u = (z - z.mean(0)) / (z.var(0, unbiased=False) + model[1].eps).sqrt()
    outputs = model[4](F.relu(u * model[1].weight + model[1].bias))
    expected = 0.5 * (outputs - F.one_hot(data.test_targets, 3)).square().sum(1).mean().item()
    assert run.test_loss == pytest.approx(expected, rel=1e-5)
    assert run.test_accuracy == pytest.approx((outputs.argmax(1) == data.test_targets).float().mean().item())


def test_without_test_data_there_is_no_test_loss_and_json_says_so():
    data = points()
    run = train_once(normalised(), (data.inputs, data.targets), learning_rate=0.05, batch_size=8)
    told = json.loads(run.to_json())
    assert (run.test_loss, run.test_accuracy) == (None, None)
    assert (told["test_loss"], told["reason"]) == (None, "no test data")


def test_without_class_labels_there_is_no_accuracy_and_json_says_so():
    data = points()
    rows, tests = torch.randn(2, 24, 3, generator=torch.Generator().manual_seed(1))
    data = DataSet("rows", data.inputs, rows, None, data.test_inputs, tests[:10])
    run = train_once(normalised(), data, learning_rate=0.05, batch_size=8)
    assert run.test_loss > 0
    assert run.test_accuracy is None
    assert json.loads(run.to_json())["reason"] == "no class labels"


def test_a_seed_gives_the_same_run_bit_for_bit_with_dropout_too():
    def trained(seed: int) -> tuple[Run, nn.Module]:
        model = normalised(dropout=0.5)
        return train_once(model, points(), learning_rate=0.05, batch_size=8, seed=seed), model

    (one, first), (two, second), (other, _) = trained(1), trained(1), trained(2)
    assert one.losses == two.losses != other.losses
    assert (one.final_loss, one.test_loss) == (two.final_loss, two.test_loss)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_random_state_modes_gradients_and_requires_grad_stay():
    model = normalised(dropout=0.5)
    model[3].eval()
    model[0].bias.requires_grad_(False)
    frozen, mark = model[0].bias.detach().clone(), torch.ones_like(model[0].weight)
    model[0].weight.grad = mark
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    modes = [module.training for module in model.modules()]
    train_once(model, points(), learning_rate=0.05, batch_size=8)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    assert [module.training for module in model.modules()] == modes
    assert model[0].weight.grad is mark
    assert all(parameter.grad is None for parameter in model[4].parameters())
    assert torch.equal(model[0].bias, frozen)


def test_evaluation_moves_no_buffer():
    model = normalised()
    run = train_once(model, points(), learning_rate=0.05, batch_size=8, epochs=2)
    assert int(model[1].num_batches_tracked) == len(run.losses) == 6


def test_a_run_stops_at_the_first_step_beyond_the_factor():
    data = points()
    run = train_once(
        nn.Linear(5, 3), data, learning_rate=20.0, batch_size=None, epochs=200, divergence_factor=50
    )
    assert run.status == "diverged"
    assert run.diverged_at == len(run.losses) < 200
    assert run.losses[-1] > 50 * run.losses[0]
    assert max(run.losses[:-1]) <= 50 * run.losses[0]
    assert (run.final_loss, run.test_loss, run.ended_worse) == (None, None, True)
    assert json.loads(run.to_json())["reason"] == "the run diverged"


def test_a_last_step_that_leaves_no_finite_parameter_is_divergence():
    run = train_once(nn.Linear(5, 3), points(), learning_rate=1e38, batch_size=None, epochs=1, momentum=0.0)
    assert (run.status, run.diverged_at, run.ended_worse) == ("diverged", 1, True)
    assert math.isfinite(run.losses[0])


def test_a_run_may_end_worse_without_diverging():
    run = train_once(nn.Linear(5, 3), points(), learning_rate=3.0, momentum=0.0, batch_size=None, steps=1)
    assert run.status == "finished"
    assert run.final_loss > run.first_loss
    assert run.ended_worse is True


def test_the_deadline_cuts_a_run_short():
    run = train_once(
        nn.Linear(5, 3), points(), learning_rate=0.1, batch_size=8, deadline=time.monotonic() - 1
    )
    assert (run.status, run.losses, run.final_loss, run.ended_worse) == ("cut short", (), None, None)
    assert json.loads(run.to_json())["reason"] == "the run was cut short"
    assert "cut short" in str(run)


def test_unused_parameters_are_left_where_they_are():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, x):
            return self.used(x)

    model = Half()
    kept = model.unused.weight.detach().clone()
    run = train_once(model, points(), learning_rate=0.1, batch_size=8)
    assert run.status == "finished"
    assert torch.equal(model.unused.weight, kept)


def test_a_run_prints_and_becomes_a_table():
    run = train_once(normalised(), points(), learning_rate=0.05, batch_size=8)
    frame = run.to_frame()
    assert frame["loss"].tolist() == list(run.losses)
    assert str(run).startswith("η = 0.05 (log₁₀ -1.30), seed 0: finished, loss ")
