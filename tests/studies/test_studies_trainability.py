"""How deep networks train: the training beside plain steps written out, depths read from curves, both verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import normfield as nf
from normfield.studies import yang_fig_2 as two
from normfield.studies import yang_fig_4 as four
from normfield.studies.trainability.reach import by_depth, is_inside, least, most, reach
from normfield.studies.trainability.training import Training, trained

TINY = Training("digits", 96, 48, epochs=2)


def test_learning_rates_of_all_steps_add_up_to_the_same_and_to_the_papers():
    assert Training("mnist", 60_000, 10_000, 10).rate(256) == pytest.approx(1e-5 * 256)
    for batch_size in (4, 16, 32):
        steps = 2 * 96 // batch_size
        assert steps * TINY.rate(batch_size) == pytest.approx(6)


def test_a_network_is_trained_by_plain_steps_written_out():
    """The same accuracy as by steps on functions of torch, in double precision."""
    network = nf.mlp(64, 12, 3, 10, bias_variance=0.0, eps=1e-3)
    data = TINY.read()
    found = trained(network, data, TINY, 16, seed=5)
    model = nf.build(network, 5, dtype=torch.float64)
    weights = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]

    def outputs(x):
        values = iter(weights)
        for _ in range(2):
            z = x @ next(values).T + next(values)
            z = (z - z.mean(0)) / torch.sqrt(z.var(0, unbiased=False) + 1e-3)
            x = torch.relu(next(values) * z + next(values))
        return x @ next(values).T + next(values)

    draws = torch.Generator().manual_seed(5)
    for _ in range(2):
        for images, labels in data.batches(16, draws):
            slopes = torch.autograd.grad(F.cross_entropy(outputs(images.double()), labels), weights)
            with torch.no_grad():
                for weight, slope in zip(weights, slopes, strict=True):
                    weight -= 6 * 16 / 192 * slope
    tests = zip(data.test_inputs.double().split(16), data.test_targets.split(16), strict=True)
    order = torch.Generator().manual_seed(0)
    tests = nf.load((data.test_inputs, data.test_targets)).batches(16, order)
    right = [(outputs(x.double()).argmax(1) == y).double().mean().item() for x, y in tests]
    assert found["diverged"] == 0
    assert found["trained_accuracy"] == pytest.approx(np.mean(right), abs=1.5 / 48)


def test_a_network_that_diverges_counts_as_guessing():
    wild = Training("digits", 96, 48, epochs=1)
    network = nf.mlp(64, 12, 3, 10, batch_norm=False, weight_variance=1e8)
    assert trained(network, wild.read(), wild, 16, 0) == {"diverged": 1, "trained_accuracy": 0.1}


def curve(*accuracies, depths=(4, 8, 16, 32)):
    return [
        {"depth": depth, "trained_accuracy": accuracy}
        for depth, accuracy in zip(depths, accuracies, strict=True)
    ]


@pytest.mark.parametrize(
    ("accuracies", "depth", "inside"),
    [
        ((0.9, 0.8, 0.6, 0.2), 20, True),  # a quarter of the way from 16 to 32
        ((0.9, 0.7, 0.3, 0.1), 12, True),
        ((0.9, 0.4, 0.6, 0.4), 24, True),  # the last time that it falls
        ((0.9, 0.8, 0.7, 0.6), 32, False),
        ((0.4, 0.3, 0.2, 0.1), 4, False),
        ((0.9, math.nan, 0.2, 0.1), math.nan, False),
    ],
)
def test_the_depth_down_to_which_networks_train(accuracies, depth, inside):
    rows = curve(*accuracies)
    assert reach(rows) == pytest.approx(depth, nan_ok=True)
    assert reach(rows[::-1]) == pytest.approx(depth, nan_ok=True), "whatever the order of the rows"
    assert is_inside(rows) is inside


def test_networks_of_one_depth_are_averaged():
    depths, accuracies = by_depth(curve(0.9, 0.5, 0.7, 0.1, depths=(4, 8, 8, 16)))
    assert depths.tolist() == [4, 8, 16]
    assert accuracies == pytest.approx([0.9, 0.6, 0.1])


def test_the_extreme_of_nothing_is_unknown():
    assert math.isnan(most(np.array([])))
    assert math.isnan(least(np.array([])))
    assert math.isnan(most(np.array([1.0, math.nan])))


def rate_of(depth):
    """λ_G of a network that trains down to this depth by theory, 16/ln λ_G."""
    return math.exp(16 / depth)


def map_of_sizes(edge=1.0, beyond=0.1, within=0.9, shift=1.0):
    """16ξ of 32 at B = 8 and of 40 at B = 64; accuracy falls at ``edge`` times that, ``shift`` times more at B = 64."""
    rows = []
    for batch_size, limit in ((8, 32.0), (64, 40.0)):
        at = edge * limit * (shift if batch_size == 64 else 1)
        for depth in (4, 12, 20, 30, 40, 52, 64):
            rows.append(
                {
                    "batch_size": batch_size, "depth": depth, "seed": 0, "theory_rate": rate_of(limit), "diverged": 0,
                    "trained_accuracy": within if depth < at else beyond,
                }
            )  # fmt: skip
    return rows


def test_figure_2_holds_where_networks_train_to_16_depth_scales_and_no_further():
    verdict = two.STUDY.verdict(map_of_sizes())
    assert verdict.outcome == "held"
    assert all(check.held for check in verdict.checks)


@pytest.mark.parametrize(
    ("changed", "held"),
    [
        ({"beyond": 0.199}, [True, True, True]),
        ({"beyond": 0.21}, [False, False, True]),
        ({"edge": 1.4}, [False, False, True]),  # networks of 52 layers train at B = 64
        ({"edge": 0.3}, [True, True, False]),
        ({"within": 0.51}, [True, True, True]),
        ({"within": 0.49}, [True, True, False]),
    ],
)
def test_the_thresholds_of_figure_2(changed, held):
    rows = map_of_sizes(**changed)
    assert [check.held for check in two.STUDY.verdict(rows).of("paper")] == held


def test_networks_that_train_beyond_16_depth_scales_but_not_beyond_50_layers():
    rows = [
        {**row, "trained_accuracy": 0.9} if row["batch_size"] == 8 and row["depth"] == 40 else row
        for row in map_of_sizes()
    ]
    at = {**rows[0], "depth": 40, "theory_rate": rate_of(31.0), "trained_accuracy": 0.9}
    assert [check.held for check in two.STUDY.verdict([*rows, at]).of("paper")] == [False, True, True]


@pytest.mark.parametrize(
    ("edge", "shift", "held"), [(1.0, 1.0, True), (0.5, 1.0, True), (0.5, 2.0, False), (1.0, 0.45, False)]
)
def test_the_depths_follow_the_theorys_line(edge, shift, held):
    assert two.STUDY.verdict(map_of_sizes(edge=edge, shift=shift)).of("normfield")[0].held is held


def test_figure_2_draws_the_line_where_theory_puts_it():
    over, along = two.STUDY.draw(map_of_sizes())
    line = next(
        trace for trace in over.data if trace.get("name") == "theory: 16ξ" and trace.get("showlegend")
    )
    assert line["x"] == [8, 64]
    assert line["y"] == pytest.approx([32, 40])
    assert along.data[0]["x"] == pytest.approx([d / 32 for d in (4, 12, 20, 30, 40, 52, 64)])


def maps_of_values(near=48.0, far=24.0, middle=None, beyond=0.1):
    """Three scans of three values; accuracy falls from 0.9 to 0.1 between neighbouring depths around these."""
    rows = []
    ends = (far, (near * far) ** 0.5 if middle is None else middle, near)
    for scan, activation, values in (
        ("gamma", "tanh", (2.0, 1.0, 0.1)), ("beta", "relu", (0.0, 1.0, 2.0)), ("eps", "tanh", (0.001, 0.1, 0.5))
    ):  # fmt: skip
        for depth in range(8, 101, 4):
            for value, end in zip(values, ends, strict=True):
                rows.append(
                    {
                        "scan": scan, "activation": activation, "depth": depth, "value": value, "seed": 0,
                        "theory_rate": rate_of(end), "diverged": 0,
                        "trained_accuracy": 0.9 if depth < end else beyond if depth > 1.25 * end else 0.1,
                    }
                )  # fmt: skip
    return rows


def test_figure_4_holds_where_nearer_to_linear_trains_deeper():
    verdict = four.STUDY.verdict(maps_of_values())
    assert verdict.outcome == "held"
    assert all(check.held for check in verdict.checks)
    assert "γ = 0.1" in verdict.sentence
    assert "β = 0" in verdict.sentence


@pytest.mark.parametrize(("near", "held"), [(38.0, True), (30.0, False), (12.0, False)])
def test_deeper_means_half_again_as_deep(near, held):
    checks = four.STUDY.verdict(maps_of_values(near=near)).of("paper")
    assert [check.held for check in checks] == [held] * 3 + [True]


def test_networks_beyond_the_line_that_train_are_noticed():
    checks = four.STUDY.verdict(maps_of_values(beyond=0.3)).of("paper")
    assert [check.held for check in checks] == [True, True, True, False]
    assert checks[-1].value == pytest.approx(30)


def test_a_step_towards_linear_that_trains_less_deep_is_noticed():
    (step,) = four.STUDY.verdict(maps_of_values(middle=60.0)).of("normfield")
    assert not step.held
    assert step.value == pytest.approx(48 / 60, abs=0.06)
    assert "at γ = 1 to" in step.sentence


def test_a_depth_beyond_those_tried_is_said_to_be_more_and_gets_no_point():
    rows = [row for row in maps_of_values() if row["depth"] <= 40]
    verdict, figure = four.STUDY.verdict(rows), four.STUDY.draw(rows)[0]
    assert "40 or more at γ = 0.1" in verdict.sentence
    assert verdict.checks[0].unit == "times as deep, at least"
    points = next(trace for trace in figure.data if trace.get("name") == "half right")
    assert points["x"] == [2.0, 1.0, 0.1]
    assert points["y"][:2] == pytest.approx([22, 34])
    assert points["y"][2] is None, "at γ = 0.1 all depths train"


def test_a_row_of_figure_4_trains_the_network_that_it_names():
    """At γ = 0.5 the one made by hand, with the rate of its own theory."""
    settings = four.Settings((), (3,), 12, TINY)
    points = [
        {"scan": "gamma", "activation": "tanh", "depth": 3, "value": value, "seed": 2} for value in (2.0, 0.5)
    ]
    rows = four.STUDY.measure(settings, points)
    network = nf.mlp(
        64, 12, 3, 10, activation="tanh", gamma=0.5, weight_variance=1.0, bias_variance=0.0, eps=1e-3
    )
    assert rows[1]["trained_accuracy"] == trained(network, TINY.read(), TINY, 64, 2)["trained_accuracy"]
    limits = nf.depth_limits("tanh", 64, gamma=0.5, eps=1e-3, weight_variance=1.0)
    assert rows[1]["theory_rate"] == pytest.approx(float(limits.explosion_rate))
    assert rows[0]["theory_rate"] > rows[1]["theory_rate"]
