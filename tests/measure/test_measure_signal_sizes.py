"""Sizes of signal and gradient by other ways: eigenvalues of the Gram matrix, counting, float64, brute force."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

import normfield as nf
from normfield.measure.signals.calls import affine_calls
from normfield.measure.signals.scales import gradient_size, norm, signal_size


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(7, 40), (40, 7), (6, 3, 4, 5), (9, 2)])
def test_rank_and_gap_are_those_of_the_gram_matrixs_eigenvalues(shape):
    z = normal(*shape) + 0.3
    found = signal_size(z)
    rows = z.flatten(1)
    p = torch.linalg.eigvalsh(rows @ rows.T)
    p = p / p.sum()
    assert found.effective_rank == pytest.approx(float(1 / p.square().sum()), rel=1e-12)
    gap = rows @ rows.T / rows.square().sum() - torch.eye(len(z), dtype=z.dtype) / len(z)
    assert found.orthogonality_gap == pytest.approx(float(gap.norm()), rel=1e-10)
    assert found.mean == pytest.approx(float(z.mean()), rel=1e-12)


def test_orthogonal_samples_have_full_rank_and_no_gap_and_equal_ones_rank_one():
    q = torch.linalg.qr(normal(20, 8))[0].T
    orthogonal, alike = signal_size(3 * q), signal_size(torch.ones(8, 1) * normal(1, 20))
    assert orthogonal.effective_rank == pytest.approx(8)
    assert orthogonal.orthogonality_gap == pytest.approx(0, abs=1e-7)
    assert alike.effective_rank == pytest.approx(1)
    assert alike.orthogonality_gap == pytest.approx(math.sqrt(7 / 8))
    assert alike.correlation == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1.0, 1e18, 1e30])
def test_float32_has_its_precision_at_every_scale(scale):
    z = (normal(32, 5, 4, 4) + 2).float() * scale
    found, exact = signal_size(z), signal_size(z.double())
    for name in vars(exact):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=2e-5), name
    back, exactly = gradient_size(z, True), gradient_size(z.double(), True)
    assert back.norm == pytest.approx(exactly.norm, rel=2e-5)
    assert norm(z) == pytest.approx(float(z.double().norm()), rel=2e-5)


def test_a_large_mean_does_not_cancel_the_deviation():
    z = (1000 + normal(64, 30)).float()
    assert signal_size(z).standard_deviation == pytest.approx(float(z.double().std(correction=0)), rel=1e-5)


def test_only_values_that_are_exactly_0_are_dead():
    g = torch.zeros(4, 5, 3, 3)
    g[:, 0], g[1, 1, 2, 2] = 1.0, 1e-38  # whose square underflows
    assert gradient_size(g, True).dead_fraction == pytest.approx(3 / 5)
    assert gradient_size(g[:, :, 0, 0], True).dead_fraction == pytest.approx(4 / 5)
    assert gradient_size(g.movedim(1, -1), False).dead_fraction == pytest.approx(3 / 5)
    assert gradient_size(0 * g, True).dead_fraction == 1


@pytest.mark.parametrize("batch_norm", [True, False])
def test_dead_units_are_those_whose_relu_no_sample_switches_on(batch_norm):
    torch.manual_seed(0)
    middle = nn.BatchNorm1d(40) if batch_norm else nn.Identity()
    model = nn.Sequential(nn.Linear(6, 40), middle, nn.ReLU(inplace=True), nn.Linear(40, 3))
    with torch.no_grad():
        (middle if batch_norm else model[0]).bias.copy_(torch.linspace(-6, 2, 40))
    x, y = normal(20, 6).float(), normal(20, 3).float()
    active = model[:3](x) > 0
    expected = float((~active.any(0)).double().mean())
    assert 0.1 < expected < 0.9
    assert nf.signals(model, (x, y)).layers[0].dead_fraction == pytest.approx(expected)


class InPlace(nn.Module):
    """Writes into each layer's outputs, which are views for inputs with positions."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        h = self.first(x).mul_(2.0).relu_()
        return self.head(self.second(h).add_(1.0).tanh_()).mean(1)


@pytest.mark.parametrize("frozen", [(), ("first",), ("first", "second")])
def test_operations_in_place_do_not_reach_what_is_measured(frozen):
    torch.manual_seed(0)
    model, x, y = InPlace().double(), normal(8, 4, 5), normal(8, 2)
    for name in frozen:
        getattr(model, name).requires_grad_(False)
    found = nf.signals(model, (x, y)).layers
    z1 = model.first(x).detach().requires_grad_()
    z2 = model.second((2 * z1).relu())
    out = model.head((z2 + 1).tanh()).mean(1)
    wanted = torch.autograd.grad(0.5 * (out - y).square().sum(1).mean(), [z1, z2])
    for layer, z, gradient in zip(found, (z1, z2), wanted, strict=False):
        assert layer.mean_square == pytest.approx(float(z.detach().square().mean()), rel=1e-12)
        assert layer.gradient == pytest.approx(float(gradient.norm()), rel=1e-10)
        assert layer.positions == 4
    assert [layer.weight is None for layer in found] == [
        "first" in frozen,
        "second" in frozen,
        False,
    ]


def test_numbers_are_all_that_is_kept_of_the_outputs():
    model = nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(30, 30), nn.Tanh())])
    with affine_calls(model, 50) as calls:
        model(normal(50, 30).float()).sum().backward()
    assert len(calls) == 6
    assert calls[0].gradient.norm > 0
    assert not [value for call in calls for value in vars(call).values() if isinstance(value, torch.Tensor)]


def test_a_transformer_has_its_linear_layers_and_a_layer_of_one_vector_one_sample():
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.scale, self.head = encoder, nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.encoder(x).mean(1) * self.scale(torch.ones(3)))

    found = nf.signals(Pooled(), (normal(5, 4, 8).float(), normal(5, 2).float()))
    named = {layer.name: layer for layer in found.layers}
    assert {"encoder.linear1", "encoder.linear2", "scale", "head"} <= named.keys()
    assert (named["encoder.linear1"].positions, named["encoder.linear1"].units) == (4, 16)
    assert (named["scale"].positions, named["scale"].correlation) == (1, None)
    assert found["head"] is named["head"]


def test_wrapped_models_are_measured_inside():
    torch.manual_seed(0)
    model, batch = nn.Sequential(nn.Linear(4, 3)), (normal(6, 4).float(), normal(6, 3).float())
    direct = nf.signals(model, batch)
    assert nf.signals(nn.DataParallel(model), batch) == direct
    assert nf.signals(torch.compile(model, backend="eager"), batch) == direct


def test_a_callable_loss_takes_structured_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return {"a": self.layer(x), "b": None}

    torch.manual_seed(0)
    model, (x, y) = Two().double(), (normal(6, 4), normal(6, 3))
    found = nf.signals(model, (x, y), lambda out, targets: 0.5 * (out["a"] - targets).square().sum(1).mean())
    assert found.layers[0].gradient == nf.signals(nn.Sequential(model.layer), (x, y)).layers[0].gradient
    with pytest.raises(nf.InvalidInput, match="expected a model that returns one tensor, got a dict"):
        nf.signals(model, (x, y))


def test_infinite_signals_behind_a_bounded_activation_are_null_with_a_reason():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(3e38 * torch.eye(3, 4))
    kept = json.loads(nf.signals(model, (normal(6, 4).abs().float() + 2, normal(6, 2).float())).to_json())
    assert kept["layers"][0]["mean_square"] is None
    assert kept["layers"][1]["mean_square"] > 0
    assert kept["reason"]


def test_the_figure_and_the_words_hold_every_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    found = nf.signals(model, (normal(6, 4).float(), normal(6, 2).float()))
    figure = found.plot()
    assert [trace.name for trace in figure.data] == ["√(E z²)", "‖∂ℓ/∂z‖", "‖∂ℓ/∂W‖"]
    assert list(figure.data[0].y) == pytest.approx([layer.root_mean_square for layer in found.layers])
    assert all(layer.name in str(found) for layer in found.layers)
    none = nf.signals(nn.LayerNorm(4), (normal(6, 4).float(), normal(6, 4).float()))
    assert str(none) == "no linear or convolutional layer here"
    with pytest.raises(nf.InvalidInput, match="expected a signal to draw"):
        none.plot()


def test_half_precision_inside_a_model_is_summed_in_float32():
    z = (300 * normal(64, 50)).to(torch.bfloat16)
    found, exact = signal_size(z), signal_size(z.double())
    assert found.mean_square == pytest.approx(exact.mean_square, rel=1e-5)
    assert found.effective_rank == pytest.approx(exact.effective_rank, rel=1e-5)
    assert gradient_size(z.half(), False).norm == pytest.approx(float(z.double().norm()), rel=1e-5)
