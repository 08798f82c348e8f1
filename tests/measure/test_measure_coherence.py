"""Coherence against the terms themselves, every one written out, and random signs drawn."""

from __future__ import annotations

import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import normfield as nf
from normfield.measure.signals.terms import agreement


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def all_terms(layer: nn.Module, a: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    """t (samples, positions, weights…): the weight gradient of one sample and one output position at a time."""
    found = []
    for b in range(len(a)):
        channels_first = isinstance(layer, nn.Conv1d | nn.Conv2d)
        places = d[b][0] if channels_first else d[b][..., 0]
        row = []
        for place in (
            torch.cartesian_prod(*[torch.arange(n) for n in places.shape]).reshape(-1, max(places.dim(), 1))
            if places.dim()
            else [()]
        ):
            only = torch.zeros_like(d[b])
            where = tuple(int(i) for i in place)
            index = (slice(None), *where) if channels_first else (*where, slice(None))
            only[index] = d[b][index]
            weight = layer.weight.detach().clone().requires_grad_()
            out = torch.func.functional_call(layer, {"weight": weight}, (a[b][None],))
            row.append(torch.autograd.grad(out, weight, only[None])[0])
        found.append(torch.stack(row))
    return torch.stack(found)


CASES = [
    (nn.Linear(3, 4), (5, 3)),
    (nn.Linear(3, 4), (5, 2, 3)),
    (nn.Conv1d(2, 3, 3, padding=1), (4, 2, 5)),
    (nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), (3, 2, 5, 5)),
    (nn.Conv2d(2, 2, 2, dilation=2, padding=2, padding_mode="circular"), (3, 2, 4, 4)),
]


@pytest.mark.parametrize(("layer", "shape"), CASES, ids=[str(case[0]) for case in CASES])
def test_it_is_that_of_the_terms_written_out(layer, shape):
    layer, a = layer.double(), normal(*shape)
    d = normal(*layer(a).shape, seed=1) + 0.3
    found = agreement(layer, torch.zeros_like(layer.weight), 1e-3 * a, 1e-9 * d)
    t = all_terms(layer, a, d)
    weights = t.sum((0, 1))
    assert torch.allclose(weights, torch.autograd.grad(layer(a), layer.weight, d)[0], rtol=1e-10, atol=1e-10)
    sizes = float(t.abs().sum())
    assert found.coherence == pytest.approx(float(weights.abs().sum()) / sizes, rel=1e-10)
    by_sample = float(t.sum(1).abs().sum())
    assert found.across_samples == pytest.approx(float(weights.abs().sum()) / by_sample, rel=1e-10)
    walk = math.sqrt(2 / math.pi) * float(t.square().sum((0, 1)).sqrt().sum()) / sizes
    assert found.random_signs == pytest.approx(walk, rel=1e-10)


def test_random_signs_have_the_coherence_that_is_said():
    """50 draws of signs for 4 × 400 terms per weight: within 4 standard errors (seed 0)."""
    layer, a = nn.Linear(6, 5).double(), normal(40, 10, 6)
    d = normal(40, 10, 5, seed=1)
    said = agreement(layer, torch.zeros(5, 6, dtype=torch.float64), a, d).random_signs
    t = torch.einsum("bpk,bpi->bpki", d, a).abs().flatten(0, 1)
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for _ in range(50):
        signs = torch.randint(0, 2, t.shape, generator=generator) * 2 - 1
        drawn.append(float((signs * t).sum(0).abs().sum() / t.sum()))
    values = torch.tensor(drawn)
    assert abs(float(values.mean()) - said) < 4 * float(values.std()) / math.sqrt(50)


class Nested(nn.Module):
    """Called twice, written in place, given by name."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.inner(input=x).relu_()
        return self.head(self.inner(h).tanh_())


def test_a_networks_layers_are_split_at_their_own_inputs_and_gradients():
    torch.manual_seed(0)
    model, x, y = Nested().double(), normal(9, 6), normal(9, 3)
    found = nf.gradient_coherence(model, (x, y))
    z1 = F.linear(x, model.inner.weight, model.inner.bias)
    h1 = z1.relu()
    z2 = F.linear(h1, model.inner.weight, model.inner.bias)
    h2 = z2.tanh()
    out = F.linear(h2, model.head.weight, model.head.bias)
    wanted = torch.autograd.grad(0.5 * (out - y).square().sum(1).mean(), [z1, z2, out])
    names = ["inner, call 1", "inner, call 2", "head"]
    assert [layer.name for layer in found.layers] == names
    for layer, a, d in zip(found.layers, (x, h1, h2), wanted, strict=True):
        t = torch.einsum("bk,bi->bki", d, a.detach())
        assert layer.coherence == pytest.approx(float(t.sum(0).abs().sum() / t.abs().sum()), rel=1e-10)
        assert layer.across_samples == layer.coherence
        assert layer.across_positions == 1
        assert layer.terms == 9
    assert found["head"].weights == 18


def test_without_batch_norm_convolutions_agree_more_than_with_it():
    """Eight convolutions on random images, squared loss, seed 0 [Bjorck]."""

    def net(norm: bool) -> nn.Module:
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for k in range(8):
            layers += [nn.Conv2d(3 if k == 0 else 8, 8, 3, padding=1)]
            nn.init.kaiming_normal_(layers[-1].weight, nonlinearity="relu")
            layers += [nn.BatchNorm2d(8), nn.ReLU()] if norm else [nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))

    x, y = normal(16, 3, 8, 8).float(), normal(16, 4, seed=1).float()
    plain, normed = (nf.gradient_coherence(net(norm), (x, y)) for norm in (False, True))
    inner, deep = slice(2, 8), slice(2, 6)
    ratios = [
        p.coherence / n.coherence for p, n in zip(plain.layers[inner], normed.layers[inner], strict=True)
    ]
    assert min(ratios) > 1
    assert min(ratios[deep]) > 2


def test_what_is_no_plain_product_is_left_out_with_the_reason():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.ConvTranspose1d(1, 2, 3),
        nn.Flatten(),
        nn.utils.parametrizations.weight_norm(nn.Linear(14, 5)),
        nn.Linear(5, 4),
        nn.Linear(4, 2),
    ).double()
    model[3].requires_grad_(False)
    found = nf.gradient_coherence(model, (normal(6, 1, 5), normal(6, 2)))
    assert [layer.name for layer in found.layers] == ["4"]
    assert "no plain product" in found.left_out["0"]
    assert "other parameters" in found.left_out["2"]
    assert "frozen" in found.left_out["3"]
    assert "3: left out, its weights are frozen" in str(found)
    none = nf.gradient_coherence(nn.LayerNorm(4).double(), (normal(6, 4), normal(6, 4)))
    assert "no layer that could be split" in str(none)
    with pytest.raises(nf.InvalidInput, match="expected a coherence to draw, got none above 0"):
        none.plot()


def test_a_layer_that_no_gradient_reaches_has_none():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        model[0].bias.fill_(-100)
    found = nf.gradient_coherence(model, (normal(6, 4), normal(6, 2)))
    assert found["0"].coherence is None
    assert json.loads(found.to_json())["layers"][0]["coherence"] is None
    assert "0: no gradient" in str(found)


def test_it_converts_and_plots():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(1, 3, 3), nn.Flatten(), nn.Linear(9, 2)).double()
    found = nf.gradient_coherence(model, (normal(6, 1, 5), normal(6, 2)))
    frame = found.to_frame()
    assert list(frame["coherence"]) == [layer.coherence for layer in found.layers]
    assert frame["across_positions"][0] < 1
    names = [trace.name for trace in found.plot().data]
    assert names == ["over samples and positions", "over samples", "if signs were random"]
    assert "times that of random signs" in str(found)
