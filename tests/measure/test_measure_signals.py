"""Signal and gradient scale by layer against layers called by hand in float64."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import normfield as nf
from normfield.measure.signals import signals


def data(samples=24, shape=(6,), outputs=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *shape, generator=generator, dtype=torch.float64)
    return x, torch.randn(samples, outputs, generator=generator, dtype=torch.float64)


def net(seed=0):
    torch.manual_seed(seed)
    layers = [
        nn.Linear(6, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(inplace=True),
        nn.Linear(8, 7),
        nn.BatchNorm1d(7),
        nn.ReLU(inplace=True),
        nn.Linear(7, 3),
    ]
    return nn.Sequential(*layers).double()


def by_hand(model, x, y):
    """z of each linear layer and the gradients there, every step written out."""
    first, norm, _, second, other, _, last = model
    zs, h = [], x
    for linear, bn in ((first, norm), (second, other)):
        z = h @ linear.weight.T + linear.bias
        zs.append(z)
        centred = z - z.mean(0)
        u = centred / (centred.square().mean(0) + bn.eps).sqrt()
        h = (bn.weight * u + bn.bias).clamp(min=0)
    zs.append(h @ last.weight.T + last.bias)
    loss = 0.5 * (zs[-1] - y).square().sum(1).mean()
    weights = [first.weight, second.weight, last.weight]
    return zs, torch.autograd.grad(loss, [*zs, *weights])


@pytest.mark.parametrize("mode", [True, False])
def test_signals_are_those_of_layers_called_by_hand(mode):
    model, (x, y) = net().train(mode), data()
    found = signals(model, (x, y))
    zs, gradients = by_hand(model, x, y)
    assert [layer.name for layer in found.layers] == ["0", "3", "6"]
    for i, (layer, z) in enumerate(zip(found.layers, zs, strict=True)):
        assert layer.mean_square == pytest.approx(float(z.detach().pow(2).mean()), rel=1e-12)
        assert layer.standard_deviation == pytest.approx(float(z.detach().std(correction=0)), rel=1e-12)
        assert layer.gradient == pytest.approx(float(gradients[i].norm()), rel=1e-10)
        assert layer.weight_gradient == pytest.approx(float(gradients[3 + i].norm()), rel=1e-10)
        weight = float(model[3 * i].weight.detach().norm())
        assert layer.relative_weight_gradient == pytest.approx(layer.weight_gradient / weight)
    assert (found.samples, found.loss, found.statistics) == (24, "squared", "batch")


def test_the_correlation_is_the_mean_cosine_between_two_samples():
    model, (x, y) = net(), data()
    found = signals(model, (x, y)).layers
    for layer, z in zip(found, by_hand(model, x, y)[0], strict=True):
        z = z.detach()
        pairs = [F.cosine_similarity(z[i], z[j], dim=0) for i in range(24) for j in range(i)]
        assert layer.correlation == pytest.approx(float(torch.stack(pairs).mean()), rel=1e-10)
    assert signals(model, (torch.zeros_like(x), y)).layers[0].correlation == pytest.approx(1.0)
    with torch.no_grad():
        model[0].bias.zero_()
    assert signals(model, (torch.zeros_like(x), y)).layers[0].correlation is None


def test_frozen_statistics_send_no_gradient_through_them():
    model, (x, y) = net(), data()
    batch, frozen = (signals(model, (x, y), statistics=s).layers for s in ("batch", "frozen"))
    assert batch[0].mean_square == frozen[0].mean_square
    assert batch[0].gradient < 0.95 * frozen[0].gradient


def test_convolutions_count_units_and_positions():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).double()
    x, y = data(shape=(1, 8, 8))
    found = signals(model, (x, y)).layers
    assert [(layer.units, layer.positions, layer.kind) for layer in found] == [
        (4, 36, "Conv2d"),
        (3, 1, "Linear"),
    ]
    z = F.conv2d(x, model[0].weight, model[0].bias).detach().requires_grad_()
    out = z.clamp(min=0).flatten(1) @ model[3].weight.T + model[3].bias
    (gradient,) = torch.autograd.grad(0.5 * (out - y).square().sum(1).mean(), z)
    assert found[0].gradient == pytest.approx(float(gradient.norm()), rel=1e-10)
    assert found[0].mean_square == pytest.approx(float(z.detach().square().mean()), rel=1e-12)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.inner(torch.tanh(self.inner(x)))))


def test_a_layer_called_twice_is_two_signals():
    torch.manual_seed(0)
    model, (x, y) = Twice().double(), data()
    found = signals(model, (x, y)).layers
    assert [layer.name for layer in found] == ["inner, call 1", "inner, call 2", "head"]
    assert found[0].mean_square == pytest.approx(float(model.inner(x).detach().square().mean()))
    assert found[1].mean_square != found[0].mean_square
    assert found[0].weight_gradient == found[1].weight_gradient


def test_frozen_layers_have_signals_but_no_weight_gradient():
    model, (x, y) = net(), data()
    free = signals(model, (x, y)).layers
    model[0].requires_grad_(False)
    found = signals(model, (x, y)).layers
    assert found[0].weight_gradient is None
    assert found[0].relative_weight_gradient is None
    assert found[0].gradient == pytest.approx(free[0].gradient)
    assert found[2].weight_gradient == pytest.approx(free[2].weight_gradient)


def test_cross_entropy_and_labels():
    model, (x, _) = net(), data()
    labels = torch.arange(24) % 3
    found = signals(model, (x, labels), "cross_entropy").layers[-1]
    out = by_hand(model, x, torch.zeros(24, 3).double())[0][-1].detach()
    expected = (torch.softmax(out, 1) - F.one_hot(labels, 3)) / 24
    assert found.gradient == pytest.approx(float(expected.norm()), rel=1e-10)


def state_of(model):
    hooks = [(dict(m._forward_hooks), dict(m._backward_hooks), m.training) for m in model.modules()]
    return {k: v.clone() for k, v in model.state_dict().items()}, hooks


@pytest.mark.parametrize("broken", [False, True])
def test_the_module_and_the_random_state_are_left_as_found(broken):
    model, (x, y) = net().eval(), data()
    seen = []
    model[3].register_forward_hook(lambda *_: seen.append(1))
    (before, hooks), random = state_of(model), torch.get_rng_state()
    if broken:
        with pytest.raises(nf.InvalidInput):
            signals(model, (x, y[:, :2]))
    else:
        signals(model, (x, y))
    after, hooks_after = state_of(model)
    assert hooks_after == hooks
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert len(seen) == 1


def test_dropout_is_drawn_from_the_seed():
    torch.manual_seed(0)
    model, (x, y) = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)).double(), data()
    first, again, other = (signals(model, (x, y), seed=s).layers[0].mean_square for s in (0, 0, 1))
    assert first == again != other


def test_growth_is_the_slope_of_logarithms():
    from normfield.measure.signals import LayerSignal, LayerSignals

    def signals(gradients):
        layers = [LayerSignal("l", "Linear", 1, 1, 4.0**i, 1.0, g, 1.0, 1.0) for i, g in enumerate(gradients)]
        return LayerSignals(tuple(layers), 1, "squared", "batch")

    exact = signals([55.0, 8.0, 4.0, 2.0, 1.0, 77.0])
    assert exact.gradient_growth.factor == pytest.approx(2)
    assert exact.gradient_growth.error == pytest.approx(0, abs=1e-12)
    assert exact.signal_growth.factor == pytest.approx(2)
    assert signals([55.0, 2.0, 1.0, 77.0]).gradient_growth.error is None
    assert signals([55.0, 2.0, 77.0]).gradient_growth is None
    assert signals([1.0, 77.0]).gradient_growth is None
    assert signals([1.0, 0.0, 77.0]).gradient_growth is None


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_errors_of_growth_cover_over_200_random_networks(batch_norm):
    """Each network's own error against what the 200 have in the mean (14 layers of width 40, seeds 0 to 199)."""
    x, y = data(32, (10,), 4)
    network = nf.mlp(10, 40, 14, 4, batch_norm=batch_norm)
    found = [signals(nf.build(network, seed=seed), (x, y)) for seed in range(200)]
    for name in ("signal_growth", "gradient_growth"):
        growths = [getattr(one, name) for one in found]
        slopes = np.array([math.log(growth.factor) for growth in growths])
        misses = (slopes - slopes.mean()) / np.array([growth.error for growth in growths])
        assert (np.abs(misses) < 2).mean() > 0.8, name


def test_batch_norms_gradients_grow_by_the_explosion_rate():
    """√(π/(π − 1)) per layer for ReLU [Yang]; 12 layers of width 400, fixed seed, 3 standard errors."""
    network = nf.mlp(64, 400, 12, 10)
    batch = nf.load("digits").flattened().batches(256, seed=0)[0]
    growth = signals(nf.build(network, seed=0), batch).gradient_growth
    expected = 0.5 * math.log(math.pi / (math.pi - 1))
    assert abs(math.log(growth.factor) - expected) < 0.02


def test_table_and_json_hold_every_layer():
    deeper = nn.Sequential(nn.Linear(6, 6).double(), *net())
    found = signals(deeper, data())
    frame = found.to_frame()
    assert list(frame["name"]) == ["0", "1", "4", "7"]
    kept = json.loads(found.to_json())
    assert [row["gradient"] for row in kept["layers"]] == [layer.gradient for layer in found.layers]
    assert kept["gradient_growth"]["factor"] == found.gradient_growth.factor
    assert "gradient, going backwards" in str(found)


def test_a_model_without_affine_layers_has_none():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x[:, :3] * self.scale

    found = signals(Scale().double(), data())
    assert found.layers == ()
    assert found.gradient_growth is None


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, x, mask):
        return self.inner(x * mask)


def test_inputs_by_name_are_called_by_name():
    model, (x, y) = Named(), data()
    mask = (torch.arange(6) < 4).double().expand(24, 6)
    found = signals(model, ({"x": x, "mask": mask}, y))
    direct = signals(model.inner, (x * mask, y))
    assert [layer.gradient for layer in found.layers] == [layer.gradient for layer in direct.layers]
    assert found.layers[0].name == "inner.0"
