"""Channel means and variances against numpy on layers called by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import normfield as nf


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_moments_of_a_convnet_are_those_of_its_layers_called_by_hand():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3))
    x = normal(7, 2, 6, 6) + 1
    found = nf.channel_moments(model, (x, normal(7, 3)))
    z = F.conv2d(x.double(), model[0].weight.double(), model[0].bias.double()).detach().numpy()
    assert found["0"].means == pytest.approx(z.mean((0, 2, 3)), rel=1e-5, abs=1e-6)
    assert found["0"].variances == pytest.approx(z.var((0, 2, 3)), rel=1e-4)
    u = (z - z.mean((0, 2, 3), keepdims=True)) / np.sqrt(z.var((0, 2, 3), keepdims=True) + 1e-5)
    out = (
        np.maximum(u, 0).reshape(7, -1) @ model[4].weight.detach().numpy().T + model[4].bias.detach().numpy()
    )
    assert found["4"].means == pytest.approx(out.mean(0), rel=1e-4, abs=1e-5)
    assert found["4"].deviation == pytest.approx(np.sqrt(out.var(0).mean()), rel=1e-4)
    assert found["4"].mean_size == pytest.approx(np.sqrt((out.mean(0) ** 2).mean()), rel=1e-4)
    assert (found.samples, found.statistics, found["0"].kind) == (7, "batch", "Conv2d")


def test_positions_of_a_linear_layer_count_as_samples():
    layer, x = nn.Linear(4, 3), normal(5, 6, 4)
    found = nf.channel_moments(layer, (x, x)).layers[0]
    z = layer(x).detach().reshape(-1, 3).double().numpy()
    assert found.means == pytest.approx(z.mean(0), rel=1e-5, abs=1e-6)
    assert found.variances == pytest.approx(z.var(0), rel=1e-5)


def test_the_growth_is_that_of_deep_random_matrices():
    """Without batch norm, weights of variance 2/width·s² multiply ReLU signals by s per layer: 20 layers, seed 0."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(20):
        layer = nn.Linear(200, 200, bias=False)
        nn.init.normal_(layer.weight, std=1.3 * np.sqrt(2 / 200))
        layers += [layer, nn.ReLU()]
    x = normal(64, 200)
    found = nf.channel_moments(nn.Sequential(*layers), (x, x))
    growth = found.mean_growth
    assert growth is not None
    assert growth.layers == 18
    assert growth.error is not None
    assert abs(np.log(growth.factor / 1.3)) < 0.05
    normed = nn.Sequential(*[m for layer in layers for m in (layer, nn.BatchNorm1d(200))][:-2])
    tamed = nf.channel_moments(normed, (x, x)).deviation_growth
    assert tamed is not None
    assert abs(np.log(tamed.factor)) < 0.05


def test_the_module_is_left_as_found_and_statistics_are_chosen():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch, random = (3 * normal(8, 4), normal(8, 2)), torch.get_rng_state()
    by_batch, running = (
        nf.channel_moments(model, batch, statistics=statistics)["2"] for statistics in ("batch", "running")
    )
    assert by_batch.deviation != pytest.approx(running.deviation, rel=0.1)
    with pytest.raises(nf.InvalidInput, match="expected inputs that the model takes"):
        nf.channel_moments(model, (normal(8, 5), normal(8, 2)))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module.training or module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)


def test_it_prints_converts_and_plots():
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(5)])
    found = nf.channel_moments(model, (normal(8, 4), normal(8, 4)))
    frame = found.to_frame()
    assert list(frame["name"]) == ["0", "1", "2", "3", "4"]
    assert frame["mean_50_percent"][2] == pytest.approx(np.median(found["2"].means))
    kept = json.loads(found.to_json())
    assert kept["layers"][1]["means"] == pytest.approx(found["1"].means)
    assert kept["deviation_growth"]["factor"] == found.deviation_growth.factor
    assert list(found.plot().data[1].y) == pytest.approx([layer.deviation for layer in found.layers])
    assert "growth of the means" in str(found)
    none = nf.channel_moments(nn.LayerNorm(4), (normal(8, 4), normal(8, 4)))
    assert str(none) == "no linear or convolutional layer here"
    with pytest.raises(nf.InvalidInput, match="expected channels to draw"):
        none.plot()
