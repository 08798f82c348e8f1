"""Scale invariance against copies with scaled weights, and what it says of steps; lengths and directions by hand."""

import copy
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import normfield as nf
from normfield.measure.invariance import ScaledWeight


def data(samples=32, shape=(5,), outputs=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *shape, generator=generator, dtype=torch.float64)
    return x, torch.randn(samples, outputs, generator=generator, dtype=torch.float64)


def net(eps=1e-10, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Linear(5, 8), nn.BatchNorm1d(8, eps=eps), nn.ReLU(), nn.Linear(8, 6, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm1d(6, eps=eps), nn.Tanh(), nn.Linear(6, 3)).double()


def half_squared(outputs, targets):
    return 0.5 * (outputs - targets).square().sum(1).mean()


def slope(model, x, y, name):
    """Loss and gradient in one parameter, by an ordinary backward pass."""
    model.zero_grad()
    value = half_squared(model(x), y)
    value.backward()
    return float(value.detach()), dict(model.named_parameters())[name].grad.clone()


def scaled(model, name, factor):
    other = copy.deepcopy(model)
    with torch.no_grad():
        dict(other.named_parameters())[name].mul_(factor)
    return other


@pytest.mark.parametrize("name", ["0.weight", "3.weight", "6.weight"])
@pytest.mark.parametrize("scale", [2.0, 7.0])
def test_changes_are_those_of_a_scaled_copy(name, scale):
    model, (x, y) = net(eps=1e-2), data()
    found = nf.scale_invariance(model, (x, y), scale=scale)[name]
    value, gradient = slope(copy.deepcopy(model), x, y, name)
    moved, moved_gradient = slope(scaled(model, name, scale), x, y, name)
    weight = dict(model.named_parameters())[name].detach()
    assert found.loss_change == pytest.approx(abs(moved - value) / value, rel=1e-6)
    difference = float((scale * moved_gradient - gradient).norm() / gradient.norm())
    assert found.gradient_change == pytest.approx(difference, rel=1e-6)
    cosine = float((weight * gradient).sum() / (weight.norm() * gradient.norm()))
    assert found.cosine == pytest.approx(cosine, rel=1e-6)
    for j in range(len(weight)):
        by_unit = float(F.cosine_similarity(weight[j], gradient[j], dim=0, eps=0))
        assert found.unit_cosines[j] == pytest.approx(by_unit, rel=1e-6)
    assert found.norm == pytest.approx(float(weight.norm()))
    assert found.gradient == pytest.approx(float(gradient.norm()))


def test_weights_in_front_of_batch_norms_are_invariant_by_unit_and_the_last_is_not():
    found = nf.scale_invariance(net(), data())
    assert found.invariant == ("0.weight", "3.weight")
    assert [weight.has_invariant_units for weight in found.weights] == [True, True, False]
    assert found["0.weight"].loss_change < 1e-8
    assert found["0.weight"].unit_gradient_change < 1e-7


def test_with_running_statistics_nothing_is_invariant():
    assert nf.scale_invariance(net(), data(), statistics="running").invariant == ()


def test_convolutions_and_an_eval_mode_that_stays():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3)
    ).double()
    model.eval()
    found = nf.scale_invariance(model, data(shape=(2, 6, 6)))
    assert found.invariant == ("0.weight",)
    assert found["0.weight"].has_invariant_units
    assert not model.training


def test_in_front_of_a_layer_norm_only_the_whole_is_invariant():
    torch.manual_seed(0)
    layers = [nn.Linear(5, 8, bias=False), nn.LayerNorm(8, eps=1e-10), nn.Linear(8, 3)]
    found = nf.scale_invariance(nn.Sequential(*layers).double(), data())["0.weight"]
    assert found.is_invariant
    assert not found.has_invariant_units


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolutions_units_are_its_output_channels(groups):
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups, bias=False)
    norm = nn.BatchNorm2d(6, eps=1e-10)
    model = nn.Sequential(layer, norm, nn.Tanh(), nn.Flatten(), nn.Linear(6 * 36, 3)).double()
    found = nf.scale_invariance(model, data(shape=(4, 4, 4)))["0.weight"]
    assert (found.units, found.has_invariant_units) == (6, True)
    assert found.unit_loss_change < 1e-8
    split = nf.length_direction(model)["0.weight"]
    x = torch.randn(4, 4, 4, dtype=torch.float64)
    for unit in range(6):  # a unit's entries are those that its channel changes with
        value = layer(x[None])[0, unit].square().sum()
        (slope,) = torch.autograd.grad(value, layer.weight)
        own = layer.weight.detach()[slope != 0]
        assert len(own) == 9 * 4 // groups
        assert found.unit_norms[unit] == pytest.approx(float(own.norm()), rel=1e-12)
        assert split.lengths[unit] == pytest.approx(float(own.norm()), rel=1e-12)


def test_a_parametrised_transposed_convolution_alone_has_its_channels_too():
    torch.manual_seed(0)
    layer = nn.ConvTranspose1d(3, 5, 2)
    assert len(nf.length_direction(layer)["weight"].lengths) == 5
    normed = nn.utils.parametrizations.spectral_norm(layer)
    (kept,) = nf.length_direction(normed).weights
    assert (kept.name, len(kept.lengths)) == ("parametrizations.weight.original", 5)


def test_weight_norms_direction_is_invariant():
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 3))).double()
    found = nf.scale_invariance(model, data())
    assert [name.rpartition(".")[2] for name in found.invariant] == ["original1"]


def test_a_weight_that_hardly_matters_is_not_invariant():
    """A branch of size 1e-6 beside a skip: the loss changes by less than the tolerance, the gradient tells."""

    class Faint(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(5, 5, bias=False), nn.Linear(5, 3)

        def forward(self, x):
            return self.head(x + 1e-6 * torch.tanh(self.inner(x)))

    torch.manual_seed(0)
    found = nf.scale_invariance(Faint().double(), data())["inner.weight"]
    assert found.loss_change < 1e-4
    assert found.gradient_change > 0.1
    assert not found.is_invariant


def test_ulp_sized_changes_that_grow_do_not_hide_the_invariance():
    """Sixty exploding layers in float32: doubling a low weight moves the loss, though it is orthogonal throughout."""
    model = nf.build(nf.mlp(inputs=16, width=32, depth=61, outputs=3), seed=0)
    x, y = data(64, (16,))
    found = nf.scale_invariance(model, (x.float(), y.float()), weights=["0.weight", "3.weight", "180.weight"])
    assert found["0.weight"].gradient_change > 0.1
    assert found["0.weight"].largest_unit_cosine < 1e-4
    assert found.invariant == ("0.weight", "3.weight")


def test_few_units_are_judged_by_what_scaling_changes():
    """Three units may be orthogonal to their gradients by chance; four or more are not."""
    orthogonal = {
        "unit_cosines": np.full(3, 1e-6),
        "unit_norms": np.ones(3),
        "cosine": 1e-6,
        "tolerance": 1e-3,
    }
    sizes = {"name": "w", "parameters": 6, "norm": 1.0, "gradient": 1.0}
    moved = dict.fromkeys(("loss_change", "gradient_change", "unit_loss_change", "unit_gradient_change"), 0.9)
    unmoved = dict.fromkeys(moved, 1e-6)
    many = orthogonal | {"unit_cosines": np.full(4, 1e-6), "unit_norms": np.ones(4)}
    assert not ScaledWeight(**sizes, **orthogonal, **moved).has_invariant_units
    assert not ScaledWeight(**sizes, **orthogonal, **moved).is_invariant
    assert ScaledWeight(**sizes, **orthogonal, **unmoved).has_invariant_units
    assert ScaledWeight(**sizes, **many, **moved).is_invariant
    dead = many | {"unit_cosines": np.array([1e-6, 1e-6, 1e-6, math.nan])}
    assert not ScaledWeight(**sizes, **dead, **moved).has_invariant_units


def test_a_large_epsilon_is_felt():
    assert nf.scale_invariance(net(eps=1.0), data()).invariant == ()


def test_a_weight_without_gradient_shows_nothing():
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(5, 4), nn.Linear(5, 3)

        def forward(self, x):
            return self.head(x) + 0 * self.inner(x).sum()

    found = nf.scale_invariance(Dead().double(), data())
    assert math.isnan(found["inner.weight"].cosine)
    assert found.invariant == ()
    stored = json.loads(found.to_json())
    assert stored["weights"][0]["cosine"] is None
    assert "no cosine" in stored["reason"]
    assert found.plot().data[1].y[0] is None


def test_dead_units_do_not_decide():
    """A ReLU unit far below 0 has no gradient; the others have, and are invariant."""
    model = net()
    with torch.no_grad():
        model[1].bias[2] = -1e3
    found = nf.scale_invariance(model, data())["0.weight"]
    assert np.isnan(found.unit_cosines[2])
    assert found.has_invariant_units


def test_frozen_weights_are_left_out():
    model = net()
    model[0].requires_grad_(False)
    assert [weight.name for weight in nf.scale_invariance(model, data()).weights] == ["3.weight", "6.weight"]


def test_some_weights_are_measured_as_all_are():
    every, one = (nf.scale_invariance(net(), data(), weights=names) for names in (None, ["3.weight"]))
    assert [weight.name for weight in one.weights] == ["3.weight"]
    assert one["3.weight"].row == every["3.weight"].row


def test_effective_learning_rates_are_how_fast_directions_move():
    """One step at η from W and one at c²η from cW turn the directions alike; ‖W‖² grows by η²‖∇ℓ‖²."""
    model, (x, y) = net(), data()
    found = nf.scale_invariance(model, (x, y))
    assert set(found.effective_learning_rates(0.5)) == {"0.weight", "3.weight"}
    assert found.effective_learning_rates(0.5)["0.weight"] == pytest.approx(
        0.5 / float(model[0].weight.detach().square().sum())
    )
    angles = []
    for factor in (1.0, 3.0):
        other = scaled(model, "0.weight", factor)
        effective = nf.scale_invariance(other, (x, y)).effective_learning_rates(0.5 * factor**2)["0.weight"]
        assert effective == pytest.approx(found.effective_learning_rates(0.5)["0.weight"])
        before = nf.length_direction(other)
        _, gradient = slope(other, x, y, "0.weight")
        with torch.no_grad():
            other[0].weight.sub_(0.5 * factor**2 * gradient)
        change = nf.length_direction(other).change_from(before)["0.weight"]
        angles.append(change.angles)
        if factor == 1:
            grown = float(other[0].weight.detach().square().sum() - model[0].weight.detach().square().sum())
            assert grown == pytest.approx(0.25 * found["0.weight"].gradient ** 2, rel=1e-6)
    np.testing.assert_allclose(angles[0], angles[1], rtol=1e-6)


def test_tables_json_figure_and_words():
    found = nf.scale_invariance(net(), data(), nn.MSELoss())
    frame = found.to_frame()
    assert list(frame["invariant"]) == [True, True, False]
    stored = json.loads(found.to_json())
    assert [row["cosine"] for row in stored["weights"]] == [weight.cosine for weight in found.weights]
    assert (stored["loss"], stored["statistics"], stored["samples"]) == ("MSELoss(mean)", "batch", 32)
    assert len(found.plot().data) >= 2
    assert str(found).startswith("2 of 3 weights scale-invariant, MSELoss(mean), 32 samples")
    assert "0.weight: every unit" in str(found)
    assert "6.weight: no" in str(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 1.0}, "a finite scale of at least 1.5, got 1.0"),
        ({"scale": "2"}, "got '2'"),
        ({"tolerance": 0.0}, "a tolerance above 0 and below 1, got 0.0"),
        ({"statistics": "frozen"}, 'got "frozen", which every scaled weight would change'),
        ({"statistics": "eval"}, "batch, frozen, running"),
        ({"loss": "hinge"}, "a loss"),
        ({"weights": "0.weight"}, "a sequence of names of trainable weights, got '0.weight'"),
        ({"weights": ["0.bias"]}, "this module's begin with '0.weight', '3.weight', '6.weight'"),
    ],
)
def test_mistakes_are_one_line(options, words):
    with pytest.raises(nf.InvalidInput) as caught:
        nf.scale_invariance(net(), data(), **options)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_modules_without_weights_and_rates_that_are_none():
    class Scales(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, dtype=torch.float64))

        def forward(self, x):
            return x[:, :3] * self.scale

    with pytest.raises(nf.InvalidInput, match="two dimensions or more, got Scales without"):
        nf.scale_invariance(Scales(), data())
    with pytest.raises(nf.InvalidInput, match="two dimensions or more, got Scales without"):
        nf.length_direction(Scales())
    found = nf.scale_invariance(net(), data())
    for rate in (0.0, math.inf, "0.1", True):
        with pytest.raises(nf.InvalidInput, match="learning rate"):
            found.effective_learning_rates(rate)


def test_lengths_and_directions_are_rows_and_their_norms():
    model = net()
    split = nf.length_direction(model)
    assert [weight.name for weight in split.weights] == ["0.weight", "3.weight", "6.weight"]
    rows = model[0].weight.detach().numpy().copy()
    kept = split["0.weight"]
    np.testing.assert_allclose(kept.lengths, np.sqrt((rows**2).sum(1)), rtol=1e-14)
    np.testing.assert_allclose(kept.lengths[:, None] * kept.directions, rows, rtol=1e-14)
    with torch.no_grad():
        model[0].weight.zero_()
    np.testing.assert_allclose(kept.lengths[:, None] * kept.directions, rows, rtol=1e-14)  # a copy
    assert kept.norm == pytest.approx(float(np.linalg.norm(kept.lengths)))


def test_turned_and_grown_by_known_amounts():
    model = nn.Linear(2, 3, bias=False).double()
    angles, growths = [0.0, 1e-9, 2.5], [1.0, 2.0, 0.5]
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 0.0], [3.0, 0.0], [3.0, 0.0]]))
    before = nf.length_direction(model)
    with torch.no_grad():
        turned = [[3 * g * math.cos(a), 3 * g * math.sin(a)] for a, g in zip(angles, growths, strict=True)]
        model.weight.copy_(torch.tensor(turned, dtype=torch.float64))
    change = nf.length_direction(model).change_from(before)
    np.testing.assert_allclose(change["weight"].angles, angles, rtol=1e-7, atol=1e-16)
    np.testing.assert_allclose(change["weight"].growths, growths, rtol=1e-14)
    row = change.to_frame().iloc[0]
    assert (row["mean_angle"], row["mean_growth"]) == pytest.approx((sum(angles) / 3, 1.0))
    assert json.loads(change.to_json())["weights"][0]["largest_angle"] == pytest.approx(2.5)
    assert len(change.plot().data) == 2
    assert "lengths times 1" in str(change)


def test_a_unit_of_zeros_has_no_direction():
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight[0] = 0
    split = nf.length_direction(model)
    row = split.change_from(split).to_frame().iloc[0]
    assert (row["units"], row["units_without_direction"]) == (1, 1)
    with torch.no_grad():
        model.weight.zero_()
    nothing = nf.length_direction(model)
    assert json.loads(nothing.change_from(nothing).to_json())["reason"].startswith("a unit whose weights")


def test_splits_have_tables_and_refuse_what_is_no_split():
    split = nf.length_direction(net())
    assert list(split.to_frame()["units"]) == [8, 6, 3]
    assert json.loads(split.to_json())["weights"][2]["weight"] == "6.weight"
    assert list(split.plot().data[0].y) == pytest.approx(list(split.to_frame()["mean_length"]))
    assert "8 units" in str(split)
    with pytest.raises(nf.InvalidInput, match="from length_direction"):
        split.change_from(net())
    with pytest.raises(nf.InvalidInput, match="two splits of the same module, got another"):
        split.change_from(nf.length_direction(nn.Linear(2, 2)))
