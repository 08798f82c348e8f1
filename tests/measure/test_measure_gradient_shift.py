"""Gradient shift against copies of the module that took the lower layers' step."""

import copy
import json
import math

import pytest
import torch
from torch import nn

import normfield as nf


def data(samples=20, features=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, features, generator=generator, dtype=torch.float64)
    return x, torch.randn(samples, 2, generator=generator, dtype=torch.float64)


class Backwards(nn.Module):
    """Layers registered in another order than that of their calls, one of them without a weight matrix."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(6, 2)
        self.norm = nn.BatchNorm1d(6)
        self.first = nn.Linear(5, 6)

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x))))


def half_squared(outputs, targets):
    return 0.5 * (outputs - targets).square().sum(1).mean()


def gradients_of(model, x, y):
    model.zero_grad()
    half_squared(model(x), y).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def by_hand(model, x, y, order, rate):
    """(‖G‖, ‖G′‖, ‖G − G′‖, cosine) of each layer, on copies stepped by torch's own SGD."""
    found = {}
    for i, layer in enumerate(order):
        before = gradients_of(copy.deepcopy(model), x, y)
        moved = copy.deepcopy(model)
        below = [p for name, p in moved.named_parameters() if name.rpartition(".")[0] in order[:i]]
        gradients_of(moved, x, y)
        if below:
            torch.optim.SGD(below, lr=rate).step()
        after = gradients_of(moved, x, y)
        mine = [name for name in before if name.rpartition(".")[0] == layer]
        g, h = (torch.cat([which[name].flatten() for name in mine]) for which in (before, after))
        found[layer] = [float(v) for v in (g.norm(), h.norm(), (g - h).norm(), g @ h / (g.norm() * h.norm()))]
    return found


@pytest.mark.parametrize("rate", [0.01, 1.0])
def test_against_copies_that_took_the_step(rate):
    torch.manual_seed(0)
    model, (x, y) = Backwards().double(), data()
    order = ["first", "norm", "last"]
    found = nf.gradient_shift(model, (x, y), learning_rate=rate, layers=order)
    assert [layer.name for layer in found.layers] == order
    for name, expected in by_hand(model, x, y, order, rate).items():
        layer = found[name]
        values = [layer.gradient, layer.moved_gradient, layer.difference, layer.cosine]
        assert values == pytest.approx(expected, rel=1e-9, abs=1e-14)
        assert layer.relative == pytest.approx(expected[2] / expected[0], rel=1e-9)
    assert found.gradient_evaluations == 4
    assert found["first"].difference == 0  # nothing below it steps


def test_by_default_the_layers_with_weights_and_norms_step_all_the_same():
    torch.manual_seed(0)
    model, batch = Backwards().double(), data()
    some = nf.gradient_shift(model, batch, learning_rate=0.3)
    assert [layer.name for layer in some.layers] == ["first", "last"]
    every = nf.gradient_shift(model, batch, learning_rate=0.3, layers=["last", "norm", "first"])
    assert some["last"] == every["last"]


def test_to_first_order_the_shift_is_the_mixed_second_derivative_times_the_step():
    """G′ − G = −η·∂²ℓ/∂W₂∂W₁·∇₁ℓ + O(η²), the derivative by finite differences of the loss itself."""
    torch.manual_seed(1)
    model, (x, y) = nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2)).double(), data()
    rate, h = 1e-4, 1e-4
    step = gradients_of(copy.deepcopy(model), x, y)

    def loss(first, second, direction):
        moved = copy.deepcopy(model)
        with torch.no_grad():
            moved[0].weight += first * step["0.weight"]
            moved[0].bias += first * step["0.bias"]
            moved[2].weight += second * direction
            return float(half_squared(moved(x), y))

    square = 0.0
    for i in range(2):
        for j in range(3):
            e = torch.zeros(2, 3, dtype=torch.float64)
            e[i, j] = 1
            mixed = loss(h, h, e) - loss(h, -h, e) - loss(-h, h, e) + loss(-h, -h, e)
            square += (mixed / (4 * h * h)) ** 2
    weights_only = nf.gradient_shift(
        nn.Sequential(model[0], model[1], _without_bias_gradient(model[2])), (x, y), learning_rate=rate
    )
    assert weights_only.layers[1].difference == pytest.approx(rate * math.sqrt(square), rel=2e-3)


def _without_bias_gradient(layer):
    layer.bias.requires_grad_(False)
    return layer


def test_a_shared_layer_steps_at_its_first_call():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(5, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(torch.tanh(self.inner(torch.tanh(self.inner(x)))))

    torch.manual_seed(0)
    model, (x, y) = Shared().double(), data()
    found = nf.gradient_shift(model, (x, y), learning_rate=0.5)
    expected = by_hand(model, x, y, ["inner", "head"], 0.5)
    assert found["head"].difference == pytest.approx(expected["head"][2], rel=1e-9)


def test_a_layer_that_is_used_without_a_call_ranks_behind_what_it_is_part_of():
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True).double()
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    found = nf.gradient_shift(model, (x, x), nn.MSELoss(), learning_rate=0.1)
    assert [layer.name for layer in found.layers] == ["self_attn", "self_attn.out_proj", "linear1", "linear2"]


def test_a_step_too_far_is_a_missing_number_with_its_reason():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    x, y = (v.float() for v in data())
    found = nf.gradient_shift(model, (x, y), learning_rate=1e30)
    stored = json.loads(found.to_json())
    assert stored["layers"][2]["cosine"] is None
    assert "not finite" in stored["reason"]
    assert stored["layers"][0]["cosine"] == pytest.approx(1.0)


def test_table_json_figure_and_words():
    torch.manual_seed(0)
    found = nf.gradient_shift(Backwards().double(), data(), learning_rate=0.1)
    assert list(found.to_frame()["layer"]) == ["first", "last"]
    assert [row["relative"] for row in json.loads(found.to_json())["layers"]] == [
        layer.relative for layer in found.layers
    ]
    assert "reason" not in json.loads(found.to_json())
    assert list(found.plot().data[1].y) == [layer.cosine for layer in found.layers]
    assert str(found).startswith("gradient shift at η = 0.1, squared, 20 samples")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate": 0.0}, "learning_rate as a finite number above 0, got 0.0"),
        ({"learning_rate": math.nan}, "got nan"),
        ({"learning_rate": "1"}, "got '1'"),
        ({"learning_rate": 1, "layers": "first"}, "sequence of names"),
        (
            {"learning_rate": 1, "layers": ["tanh"]},
            "layers with trainable parameters of their own, got 'tanh'",
        ),
        ({"learning_rate": 1, "statistics": "eval"}, "batch, frozen, running"),
        ({"learning_rate": 1, "loss": lambda f, y: f.sum() * math.nan}, "a finite loss"),
    ],
)
def test_mistakes_are_one_line(options, words):
    with pytest.raises(nf.InvalidInput) as caught:
        nf.gradient_shift(Backwards().double(), data(), **options)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
