"""The study of deep gradients: norms beside autograd, predictions beside recursions, verdicts on made-up tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import normfield as nf
from normfield.studies import article_deep_gradients as study
from normfield.studies.deep_gradients import table as t
from normfield.studies.deep_gradients.prediction import predicted
from normfield.studies.network_kinds import BOTH, NORMED, PLAIN, deep_network
from normfield.studies.permuted_images import permuted

TINY = study.Settings("digits", 8, 16, networks=1)
LAYERS = np.arange(2, 90)


def test_gradients_are_autograds():
    model = nf.build(deep_network(BOTH, "tanh", 64, 8, 6, weight_variance=1.0), 2)
    data = permuted("digits", 16, 1)
    kept = []
    handles = [
        one.register_forward_hook(lambda _, __, output: kept.append(output))
        for one in model.modules()
        if isinstance(one, torch.nn.Linear)
    ]
    loss = torch.nn.functional.cross_entropy(model(data.inputs), data.targets)
    gradients = torch.autograd.grad(loss, kept)
    for handle in handles:
        handle.remove()
    expected = [float(one.norm()) for one in gradients[1:-1]]
    assert study._gradients(TINY, data, model, 0) == pytest.approx(expected, rel=1e-4)


def test_pixels_of_all_images_are_in_one_other_order():
    found, given = permuted("digits", 50, 20), nf.load("digits", 50, quiet=True).flattened()
    assert not torch.equal(found.inputs, given.inputs)
    assert torch.equal(found.inputs.sort(dim=1).values, given.inputs.sort(dim=1).values)
    assert found.test_inputs is not None
    assert given.test_inputs is not None
    both = torch.cat([given.inputs, given.test_inputs[:20]]).T
    order = [
        (both == one).all(dim=1).nonzero()[0, 0] for one in torch.cat([found.inputs, found.test_inputs]).T
    ]
    assert torch.equal(both[torch.stack(order)], torch.cat([found.inputs, found.test_inputs]).T)
    assert torch.equal(permuted("digits", 50, 20).inputs, found.inputs)


@pytest.mark.parametrize(("variance", "factor"), [(1.0, math.sqrt(0.5)), (2.0, 1.0)])
def test_plain_relu_is_predicted_to_halve_the_variance(variance, factor):
    network = deep_network(PLAIN, "relu", 64, 30, 90, weight_variance=variance)
    found = predicted(PLAIN, network, "relu", 32, LAYERS, variance)
    assert found == pytest.approx(factor ** (89.0 - LAYERS), rel=1e-6)


def test_batch_norm_is_predicted_to_grow_by_the_explosion_rate():
    network = deep_network(NORMED, "relu", 64, 30, 90, weight_variance=1.0)
    found = predicted(NORMED, network, "relu", 32, LAYERS, 1.0)
    assert found[-1] == 1
    assert found[:-1] / found[1:] == pytest.approx(math.sqrt(1.52195), rel=1e-5)


def test_skip_connections_are_predicted_to_grow_by_the_power_of_the_variance():
    network = deep_network(BOTH, "relu", 64, 30, 90, weight_variance=1.0)
    found = predicted(BOTH, network, "relu", 32, LAYERS, 1.0)
    variance = 1 + (LAYERS - 1) * (1 - 1 / math.pi) / 2
    assert found == pytest.approx((variance[-1] / variance) ** (1.52195 / 2), rel=1e-4)


def table(bare=(0.7, 0.9), normed=(1.2, 1.1), both=(0.3, 0.3), he=1.0, theory=1.0, bent=1.0):
    """(ReLU, tanh): factors per layer going backwards, and a power of the layer with skip connections."""
    rows = []
    for k, (activation, networks) in enumerate(t.NETWORKS.items()):
        exact = {
            t.BARE: bare[k] ** (89.0 - LAYERS), t.BARE_HE: he ** (89.0 - LAYERS),
            t.WITH_NORM: normed[k] ** (89.0 - LAYERS), t.WITH_BOTH: (89 / LAYERS) ** both[k],
        }  # fmt: skip
        for network in networks:
            expected = (theory ** (89.0 - LAYERS) if network is t.WITH_NORM else 1.0) * exact[network]
            for layer, gradient, line in zip(LAYERS, exact[network], expected, strict=True):
                one = line * bent if layer == 40 and network is t.WITH_BOTH else line
                rows.append(
                    {
                        "activation": activation, "network": network.name, "layer": int(layer), "seed": 0,
                        "gradient": 0.03 * float(gradient), "theory": float(one),
                    }
                )  # fmt: skip
    return rows


def test_it_holds_where_only_batch_norm_keeps_gradients_and_skips_flatten_them():
    verdict = study.STUDY.verdict(table())
    assert all(check.held for check in verdict.checks)
    assert verdict.outcome == "held"
    assert f"{0.7**87:.1e} times as large" in verdict.sentence
    assert f"{1.2**87:.1e} times with it" in verdict.sentence


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"bare": (0.96, 0.9)}, {0}),
        ({"bare": (0.7, 0.98)}, {1}),
        ({"normed": (0.999, 1.1)}, {2, 5}),
        ({"normed": (1.2, 0.999)}, {3, 6}),
        ({"normed": (1.04, 1.04)}, {4}),
        ({"both": (1.3, 0.3)}, {5}),
        ({"both": (0.3, 1.3)}, {6}),
        ({"theory": 1.06}, {7, 8}),
        ({"bent": 2.1}, {10}),
        ({"he": 1.06}, {11}),
    ],
)
def test_each_part_can_fail(changed, wrong):
    held = [check.held for check in study.STUDY.verdict(table(**changed)).checks]
    assert {k for k, one in enumerate(held) if not one} == wrong


def test_figures_have_points_on_their_lines():
    relu, tanh, skips = study.STUDY.draw(table())
    points, line = relu.data[:2]
    assert dict(zip(line["x"], line["y"], strict=True))[points["x"][3]] == pytest.approx(points["y"][3])
    assert "multiplied by 0.70 per layer without batch norm, by 1.20 with it" in relu.title
    assert len(tanh.data) == 6
    assert skips.layout["xaxis"]["type"] == "log"
