"""Landscapes in training: what a row holds against finite steps written out, networks, tables made by hand, "
"verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from normfield.studies import santurkar_landscape as v
from normfield.studies import santurkar_linear_network as s
from normfield.studies.architectures.vgg_pair import vgg11
from normfield.studies.landscapes import table as t
from normfield.studies.landscapes.measuring import Walk, looks

WALK = Walk(1e-6, 0.01, 30.0, 4, [0, 2])


def linear(batch_norm, seed=0):
    return s.linear_network(seed, batch_norm=batch_norm, depth=3)


def forever(batch):
    while True:
        yield batch


def loss_and_gradient(model, batch):
    value = s.squared_distance(model(batch[0]), batch[1])
    gradients = torch.autograd.grad(value, list(model.parameters()))
    return value.item(), torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_row_is_what_steps_along_the_gradient_give(batch_norm):
    batch = s.regression(3)
    row = next(looks(linear(batch_norm), forever(batch), WALK, s.squared_distance))
    model = linear(batch_norm)
    start, gradient = loss_and_gradient(model, batch)
    at = torch.nn.utils.parameters_to_vector(model.parameters())
    losses, changes, lengths = [], [], 1e-6 * np.geomspace(0.01, 30, 4)
    for length in lengths:
        torch.nn.utils.vector_to_parameters(at - length * gradient, model.parameters())
        value, there = loss_and_gradient(model, batch)
        losses.append(value)
        changes.append((gradient - there).norm().item())
    assert row[t.LOSS] == pytest.approx(start)
    assert row[t.GRADIENT] == pytest.approx(gradient.norm().item())
    assert row[t.LOW] == pytest.approx(min(losses))
    assert row[t.HIGH] == pytest.approx(max(losses))
    assert row[t.RANGE] == pytest.approx(max(losses) - min(losses))
    assert row[t.CHANGE] == pytest.approx(max(changes))
    smoothness = max(change / length for change, length in zip(changes, lengths, strict=True))
    assert row[t.SMOOTHNESS] == pytest.approx(smoothness / gradient.norm().item(), rel=1e-6)


def test_looking_leaves_training_as_it_is():
    batch, watched, alone = s.regression(0), linear(True), linear(True)
    rows = list(looks(watched, forever(batch), Walk(1e-5, 0.5, 4.0, 3, [0, 1, 2, 3]), s.squared_distance))
    assert len(rows) == 4
    for _ in range(3):
        value = s.squared_distance(alone(batch[0]), batch[1])
        gradients = torch.autograd.grad(value, list(alone.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(alone.parameters(), gradients, strict=True):
                parameter -= 1e-5 * gradient
    for name, value in alone.state_dict().items():
        assert torch.allclose(watched.state_dict()[name].double(), value.double(), rtol=1e-12), name


def test_what_is_not_finite_is_kept_as_large_and_a_run_that_diverged_has_gaps():
    batch = s.regression(1)
    far = next(looks(linear(False), forever(batch), Walk(1e-6, 1e70, 1e80, 3, [0]), s.squared_distance))
    assert far[t.HIGH] == t.LARGEST
    assert far[t.CHANGE] == far[t.SMOOTHNESS] == t.LARGEST
    assert far["diverged"] == 0
    *_, gone = looks(linear(False), forever(batch), Walk(1e3, 0.5, 4.0, 3, [0, 9]), s.squared_distance)
    assert gone["diverged"] == 1
    assert {gone[name] for name in (t.LOSS, t.GRADIENT, t.RANGE, t.CHANGE, t.SMOOTHNESS)} == {None}
    assert gone.keys() == far.keys()


def test_the_linear_network_is_one_matrix_and_its_pair_has_the_same_weights():
    plain, normed = s.linear_network(4, batch_norm=False), s.linear_network(4, batch_norm=True)
    product = torch.linalg.multi_dot([layer.weight for layer in reversed(list(plain))])
    inputs, targets = s.regression(4)
    assert torch.allclose(plain(inputs), inputs @ product.T)
    assert torch.linalg.matrix_rank(torch.cat([inputs, targets], 1)) == s.WIDTH, (
        "targets are a matrix times inputs"
    )
    weights = [layer.weight for layer in normed if isinstance(layer, nn.Linear)]
    assert len(weights) == len(plain) == s.DEPTH
    assert all(torch.equal(mine, layer.weight) for mine, layer in zip(weights, plain, strict=True))
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in normed) == s.DEPTH - 1
    assert not isinstance(normed[-1], nn.BatchNorm1d)


def test_vgg_has_eight_convolutions_whose_signal_keeps_its_size():
    plain, normed = (vgg11(16, 10, 0, batch_norm=batch_norm) for batch_norm in (False, True))
    convolutions = [[layer for layer in model if isinstance(layer, nn.Conv2d)] for model in (plain, normed)]
    assert [layer.out_channels for layer in convolutions[0]] == [16, 32, 64, 64, 128, 128, 128, 128]
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(*convolutions, strict=True))
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in normed) == 8
    for layer in convolutions[0]:
        variance = layer.weight.var().item() * layer.in_channels * 9
        error = 2 * math.sqrt(2 / layer.weight.numel())
        assert variance == pytest.approx(2, abs=4 * error)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert plain(images).shape == (8, 10)
    assert 0.2 < plain(images).std().item() < 5


def test_at_the_papers_size_the_paper_s_ranges_are_walked():
    walk = v.STUDY.settings("paper").walk
    assert [walk.tried[0], walk.tried[-1]] == pytest.approx([0.05, 0.4])
    deep = s.STUDY.settings("paper").walk
    assert [deep.tried[0], deep.tried[-1]] == pytest.approx([1e-8, 3e-5])


PLAIN_ROW = {
    t.LOSS: 2.0,
    t.GRADIENT: 1.0,
    t.LOW: 1.0,
    t.HIGH: 3.0,
    t.RANGE: 2.0,
    t.CHANGE: 4.0,
    t.SMOOTHNESS: 40.0,
}


def table(**factors):
    """Two runs of three looks; each column with batch norm is the plain one times a factor."""
    rows = []
    for network in (t.NORMED, t.PLAIN):
        for seed in (0, 1):
            for step in (0, 5, 10):
                changed = {name: factors.get(name, 0.5) for name in PLAIN_ROW} if network == t.NORMED else {}
                values = {name: value * changed.get(name, 1.0) for name, value in PLAIN_ROW.items()}
                known = {"network": network, "seed": seed, "learning_rate": 0.1, "step": step}
                rows.append({**known, "diverged": 0, **values})
    return rows


ONE_STUDY = pytest.mark.parametrize("study", [v.STUDY, s.STUDY], ids=lambda study: study.name)


@ONE_STUDY
def test_it_holds_where_all_three_are_clearly_smaller_with_batch_norm(study):
    verdict = study.verdict(table(**{t.GRADIENT: 1.0}))
    assert verdict.outcome == "held"
    assert [check.value for check in verdict.of("paper")] == pytest.approx([0.5] * 3)
    assert all(check.held for check in verdict.of("normfield"))


@ONE_STUDY
@pytest.mark.parametrize(("name", "part"), [(t.RANGE, 0), (t.CHANGE, 1), (t.SMOOTHNESS, 2)])
def test_each_part_of_it_can_fail_alone_and_is_reported_so(study, name, part):
    verdict = study.verdict(table(**{name: 0.81}))
    assert [check.held for check in verdict.of("paper")] == [k != part for k in range(3)]
    assert verdict.outcome == "held in part"
    assert "✗" in str(verdict)


def test_it_did_not_hold_where_batch_norm_is_rougher():
    verdict = v.STUDY.verdict(table(**dict.fromkeys((t.RANGE, t.CHANGE, t.SMOOTHNESS), 3.0)))
    assert verdict.outcome == "did not hold"
    assert not any(check.held for check in verdict.of("paper"))


def test_one_pair_of_runs_is_enough_to_fail():
    rows = table()
    rows[3:6] = [{**row, t.RANGE: 1.7} for row in rows[3:6]]
    assert [check.held for check in v.STUDY.verdict(rows).of("paper")] == [False, True, True]


def test_beside_it_changes_are_taken_in_multiples_of_the_gradient_and_the_smoothness_of_two_over_eta():
    relative, loss, edge = v.STUDY.verdict(table(**{t.CHANGE: 0.5, t.GRADIENT: 0.5, t.SMOOTHNESS: 0.5})).of(
        "normfield"
    )
    assert relative.value == pytest.approx(1.0)
    assert not relative.held
    assert loss.held
    assert edge.value == pytest.approx(1.0), "half of 40 is 2/0.1"
    assert edge.held
    assert not v.STUDY.verdict(table(**{t.SMOOTHNESS: 0.2})).of("normfield")[2].held
    assert not v.STUDY.verdict(table(**{t.LOSS: 1.0})).of("normfield")[1].held


def test_a_run_that_diverged_counts_as_the_roughest_and_is_not_drawn():
    rows = [
        {**row, "diverged": 1, **dict.fromkeys(PLAIN_ROW)}
        if row["network"] == t.PLAIN and row["step"] > 0
        else row
        for row in table()
    ]
    verdict = v.STUDY.verdict(rows)
    assert verdict.outcome == "held"
    assert all(check.value < 1e-20 for check in verdict.of("paper"))
    figures = v.STUDY.draw(rows)
    plain = next(trace for trace in figures[1].data if trace.get("name") == t.PLAIN and "customdata" in trace)
    assert plain["y"] == [4.0, None, None]


def test_bands_are_the_losses_along_the_gradient_of_the_first_run():
    rows = table()
    rows[:3] = [{**row, t.LOW: 0.7, t.HIGH: 0.9} for row in rows[:3]]
    figure = v.STUDY.draw(rows)[0]
    band = next(trace for trace in figure.data if trace.get("fill") == "toself")
    assert set(band["y"]) == {0.7, 0.9}
    assert "1 with batch norm, 2 without" in figure.title
