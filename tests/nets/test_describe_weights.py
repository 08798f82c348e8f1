"""What weights tell: variances, known initialisations, and how they depart from independent draws."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from user_modules import Perceptron

import normfield as nf
from normfield.nets.independence import doubts, mean_doubt, normal_score
from normfield.nets.moments import moments_of


@pytest.fixture(autouse=True)
def own_random_state():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def net(fill, units=100, inputs=300, bias=None):
    """Three layers, the first two filled by a function of nn.init."""
    model = nn.Sequential(
        nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU(), nn.Linear(units, 3)
    )
    for layer in model[:4:2]:
        fill(layer.weight)
        if bias is not None:
            bias(layer.bias)
    return model


INITIALISATIONS = [
    ("torch's default", lambda w: None, (1 / 3, 1 / 3)),
    ("Kaiming, normal", lambda w: nn.init.kaiming_normal_(w), (2, 2)),
    ("Kaiming, uniform", lambda w: nn.init.kaiming_uniform_(w), (2, 2)),
    ("Xavier, normal", lambda w: nn.init.xavier_normal_(w), (1.5, 1)),
    ("Xavier, uniform", lambda w: nn.init.xavier_uniform_(w), (1.5, 1)),
    ("LeCun, normal", lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"), (1, 1)),
    ("LeCun, uniform", lambda w: nn.init.kaiming_uniform_(w, nonlinearity="linear"), (1, 1)),
    ("Kaiming with mode='fan_out', normal", lambda w: nn.init.kaiming_normal_(w, mode="fan_out"), (6, 2)),
]


@pytest.mark.parametrize(
    ("name", "fill", "variances"), INITIALISATIONS, ids=[row[0] for row in INITIALISATIONS]
)
def test_known_initialisations_are_recognised(name, fill, variances):
    found = nf.examine(net(fill))
    first, second = found.layers[:2]
    assert (first.weight_variance, second.weight_variance) == pytest.approx(variances, rel=1e-12)
    assert first.source == name
    assert found.departures == ()


def test_a_convolution_counts_its_positions():
    model = nn.Sequential(nn.Conv2d(8, 32, 3), nn.Flatten(), nn.Linear(32 * 4, 2))
    nn.init.kaiming_normal_(model[0].weight, mode="fan_out")
    found = nf.examine(model, (8, 4, 4))
    first = found.layers[0]
    assert first.fan_in == 72
    assert first.weight_variance == pytest.approx(2 * 72 / (32 * 9))
    assert first.bias_variance == pytest.approx(1 / (3 * 72))


def test_another_scale_is_measured_with_its_error():
    model = net(lambda w: nn.init.normal_(w, std=0.05))
    found = nf.examine(model)
    first = found.layers[0]
    weight = model[0].weight.detach().double().numpy()
    assert first.source == "measured"
    assert first.measured_weight_variance == pytest.approx(300 * np.mean(weight**2), rel=1e-12)
    assert abs(first.measured_weight_variance - 300 * 0.05**2) < 4 * first.weight_variance_error
    assert first.weight_variance_error == pytest.approx(300 * 0.05**2 * math.sqrt(2 / 30_000), rel=0.05)
    assert found.network.variances(found.network.layers[0])[0] == pytest.approx(first.weight_variance)


def test_the_networks_variances_are_those_of_most_layers():
    model = net(lambda w: nn.init.kaiming_normal_(w), bias=nn.init.zeros_)
    found = nf.examine(model).network
    assert (found.weight_variance, found.bias_variance) == (2.0, 0.0)
    assert found.layers[0] == nf.Dense(100)
    assert found.layers[4] == nf.Dense(3, weight_variance=1 / 3, bias_variance=1 / 300)


@torch.enable_grad()
def trained():
    """A network after 200 large steps on random labels."""
    model = Perceptron(30, 60, 3)
    x, y = torch.randn(64, 30), torch.randint(0, 3, (64,))
    step = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for _ in range(200):
        step.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        step.step()
    return model


DEPARTURES = [
    ("orthogonal", lambda: net(nn.init.orthogonal_), "0: its units are orthogonal to one another"),
    ("tall orthogonal", lambda: net(nn.init.orthogonal_, 300, 100), "0: its units are orthogonal to one another"),
    ("mean", lambda: net(lambda w: nn.init.normal_(w, 0.01, 0.1)), "0: weights have mean 0.0"),
    ("heavy", lambda: net(lambda w: w.data.copy_(torch.from_numpy(np.random.default_rng(0).laplace(size=w.shape)))),
     "0: weights have heavy tails (kurtosis"),
    ("signs", lambda: net(lambda w: w.data.copy_(w.sign())), "0: weights have fewer values near 0"),
    ("rows", lambda: net(lambda w: nn.init.normal_(w).mul_(torch.linspace(0.9, 1.1, 100)[:, None])),
     "0: squared norms of its units (rows) spread more"),
    ("columns", lambda: net(lambda w: nn.init.normal_(w).mul_(torch.linspace(0.8, 1.2, w.shape[1]))),
     "0: squared norms of its inputs (columns) spread more"),
    ("unit norms", lambda: net(lambda w: w.div_(nn.init.normal_(w).norm(dim=1, keepdim=True))),
     "0: squared norms of its units (rows) are more equal"),
    ("low rank", lambda: net(lambda w: nn.init.normal_(w).add_(0.3 * torch.outer(
        torch.randn(len(w)), torch.randn(w.shape[1])))), "0: its units are correlated as training makes them"),
    ("biases", lambda: net(nn.init.kaiming_normal_, bias=lambda b: nn.init.constant_(b, 0.1)), "0: biases have mean"),
    ("trained", trained, "fc1: its units are correlated as training makes them"),
    ("trained γ", trained, "bn1: γ differs between units"),
    ("trained β", trained, "bn1: β differs between units"),
    ("statistics", trained, "bn1: its running statistics have moved"),
    ("affine", lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, affine=False)), "1: it lacks a trainable γ"),
    ("frozen", lambda: net(lambda w: w.requires_grad_(False)), "2 parameters are frozen, the first 0.weight"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "words"), [row[1:] for row in DEPARTURES], ids=[row[0] for row in DEPARTURES]
)
def test_departures_are_named(make, words):
    with torch.no_grad():
        model = make()
    found = nf.examine(model)
    assert any(sentence.startswith(words) for sentence in found.departures), found.departures
    assert found.is_extrapolation
    with pytest.warns(UserWarning, match="theory is an extrapolation: "):
        nf.describe(model)


def test_orthogonal_is_not_called_lecun():
    assert nf.examine(net(nn.init.orthogonal_)).layers[1].source == "measured"


def test_fresh_networks_are_called_dependent_as_seldom_as_stated():
    """0.1 % is stated; 400 networks of three draws: P(more than 4 alarms) < 0.01 %."""
    generator = torch.Generator().manual_seed(1)
    draws = (
        lambda w: w.normal_(generator=generator),
        lambda w: w.uniform_(-1, 1, generator=generator),
        lambda w: nn.init.trunc_normal_(w, generator=generator),
    )
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(32, 40, bias=False), nn.Linear(40, 10))
    alarms = 0
    for k in range(400):
        with torch.no_grad():
            for p in model.parameters():
                (draws[k % 3] if p.dim() > 1 else nn.init.zeros_)(p)
        alarms += nf.examine(model, (3, 4, 4)).is_extrapolation
    assert alarms <= 4


def test_kurtosis_is_tested_as_scipy_does():
    for n in (20, 300, 5000):
        sample = np.random.default_rng(n).standard_t(8, size=n)
        kurtosis = stats.kurtosis(sample, fisher=False)
        assert normal_score(float(kurtosis), n) == pytest.approx(
            stats.kurtosistest(sample).statistic, rel=1e-9
        )


def test_moments_by_hand_and_in_parts():
    weight = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(3))
    seen = moments_of(weight)
    w = weight.double().numpy().reshape(7, 6)
    assert (seen.units, seen.fan_in, seen.count) == (7, 6, 42)
    assert seen.mean == pytest.approx(w.mean())
    assert seen.power == pytest.approx([np.mean(w**k) for k in (2, 4, 6, 8)])
    assert seen.largest == pytest.approx(np.abs(w).max())
    np.testing.assert_allclose(seen.rows, (w**2).sum(1))
    np.testing.assert_allclose(seen.columns, (w**2).sum(0))
    wide = moments_of(torch.ones(3, 3_000_000))  # one row at a time
    assert wide.power == (1.0, 1.0, 1.0, 1.0)
    assert wide.rows.tolist() == [3e6] * 3


def test_few_numbers_are_not_tested():
    small = torch.ones(3, 3)
    assert doubts(small, moments_of(small)) == []
    assert mean_doubt(np.array([0.3])) == []


def test_gamma_of_many_units_is_their_root_mean_square():
    model = nn.Sequential(nn.Linear(9, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([1.0, -2.0, 3.0, 4.0]))
    found = nf.examine(model)
    assert found.network.layers[1].gamma == pytest.approx(math.sqrt(30 / 4), rel=1e-5)
    assert found.layers[1].gamma_mean == 1.5
    assert found.layers[1].gamma_spread == pytest.approx(np.std([1, -2, 3, 4]))
    (sentence,) = found.departures
    assert sentence.endswith("stands for it, exact for this activation at infinite width")
    model[2] = nn.Tanh()
    assert nf.examine(model).departures[0].endswith("an approximation for this activation or with β")


@pytest.mark.parametrize(
    ("dtype", "value"), [(torch.float32, 0.1), (torch.bfloat16, 0.7), (torch.float64, 1 / 3)]
)
def test_one_gamma_is_said_in_the_shortest_decimal(dtype, value):
    model = nn.Sequential(nn.Linear(9, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).to(dtype)
    nn.init.constant_(model[1].weight, value)
    assert nf.examine(model).network.layers[1].gamma == value


def test_the_result_as_table_text_and_json():
    found = nf.examine(nf.build(nf.mlp(30, 20, 3, 5, gamma=0.5)))
    frame = found.to_frame()
    assert list(frame["path"]) == ["0", "1", "3", "4", "6"]
    assert list(frame["kind"]) == ["Dense", "BatchNorm", "Dense", "BatchNorm", "Dense"]
    assert frame["gamma"].dropna().tolist() == [0.5, 0.5]
    held = json.loads(found.to_json())
    assert nf.Network.from_dict(held["network"]) == found.network
    assert held["departures"] == []
    assert held["layers"][0]["fan_in"] == 30
    assert held["layers"][0]["gamma"] is None
    text = str(found)
    assert "1: BatchNorm, γ = 0.5 (mean 0.5 ± 0), β = 0 ± 0; as built" in text
    assert text.endswith("The weights look as theory takes them: independent, zero mean, one variance.")
    shown = str(nf.examine(net(nn.init.orthogonal_)))
    assert "Theory is an extrapolation:\n• 0: its units are orthogonal" in shown


def test_a_network_that_no_file_holds_is_null_with_the_reason():
    own = nf.ActivationFunction("cube", lambda ops, x: x**3)
    found = nf.examine(nf.build(nf.mlp(30, 20, 3, 5, activation=own)))
    assert found.network == nf.mlp(30, 20, 3, 5, activation=own)
    held = json.loads(found.to_json())
    assert held["network"] is None
    assert "a function is code" in held["network_reason"]
