"""Training by lengths and directions: single units against linear models, networks against autograd."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import normfield as nf
from normfield import InvalidInput
from normfield.train.decoupling.direction import turned
from normfield.train.decoupling.layers import trained_layers
from normfield.train.decoupling.length import bisected_length
from normfield.train.decoupling.unit import Objective, Unit


def _regression(samples: int = 60, inputs: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Values that float32 holds exactly, for loaded data are float32."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(samples, inputs, generator=draws) * torch.arange(1, inputs + 1)
    noise = torch.randn(samples, 1, generator=draws)
    return x, x @ torch.randn(inputs, 1, generator=draws) + noise


def _network(activation: type[nn.Module] = nn.Tanh, inputs: int = 5) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Linear(inputs, 4), activation(), nn.Linear(4, 4), activation(), nn.Linear(4, 1)
        ).double()


def _single(bias: bool) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Linear(5, 1, bias=bias).double()


def _least_squares(x: np.ndarray, y: np.ndarray) -> nf.LeastSquares:
    return nf.LeastSquares(x.T @ x / len(x), x.T @ y / len(x))


@pytest.mark.parametrize("bias", [False, True])
def test_one_linear_unit_takes_the_steps_of_kohler_on_least_squares(bias):
    x, y = _regression()
    model = _single(bias)
    run = nf.train_decoupled(model, (x, y), steps=15, halvings=60)
    columns = x.double().numpy()
    start = model.weight.detach().numpy()[0]
    if bias:
        columns = np.hstack([columns, np.ones((len(columns), 1))])
        start = np.append(start, model.bias.item())
    expected = nf.descend(
        _least_squares(columns, y.double().numpy()[:, 0]), "normalised", start=start, steps=15
    ).weights
    found = torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()]).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_the_outputs_of_a_linear_network_do_not_meet():
    """Squared loss: each of three outputs goes the way that it would go alone."""
    x, _ = _regression()
    y = x[:, :3].sin()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Linear(5, 3, bias=False).double()
    run = nf.train_decoupled(model, (x, y), steps=6, halvings=60)
    for i in range(3):
        problem = _least_squares(x.double().numpy(), y.double().numpy()[:, i])
        alone = nf.descend(problem, "normalised", start=model.weight[i].detach().numpy(), steps=6)
        np.testing.assert_allclose(run.model.weight[i].detach().numpy(), alone.weights, rtol=1e-10)


@pytest.mark.parametrize("halvings", [1, 3, 20])
def test_the_loss_of_linear_units_never_rises(halvings):
    x, y = _regression()
    run = nf.train_decoupled(_single(True), (x, y), steps=30, halvings=halvings)
    assert np.all(np.diff(run.losses) <= 1e-12 * run.losses[:-1])
    assert run.rises == 0


def _objective(model: nn.Module, loss=None) -> Objective:
    x, y = (part.double() for part in _regression())
    return Objective(model, loss or (lambda f, t: (f - t).square().sum() / (2 * len(f))), x, y)


def _unit(model: nn.Sequential, layer: int, index: int, loss=None) -> Unit:
    objective = _objective(model, loss)
    return Unit(objective, trained_layers(model, objective.inputs)[layer], index)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_slopes_by_the_units_outputs_give_the_gradients_of_its_weights(layer):
    model = _network()
    unit = _unit(model, layer, 0)
    inputs, row = unit.objective.inputs_of(unit.layer), unit.layer.rows()[0]
    loss, slopes = unit.slope(inputs @ row)
    value = unit.objective.loss(model(unit.objective.inputs), unit.objective.targets)
    value.backward()
    expected = torch.cat([unit.layer.module.weight.grad[0], unit.layer.module.bias.grad[:1]])
    torch.testing.assert_close(inputs.T @ slopes, expected, rtol=1e-12, atol=1e-12)
    assert loss == pytest.approx(value.item(), rel=1e-14)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_bends_are_second_derivatives_of_the_loss_of_linearised_outputs(layer):
    """Each sample alone: ½·f″ from the outputs at z and z + h, the loss being log-cosh of them."""

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.cosh(outputs - targets / 10).log().mean()

    model = _network()
    unit = _unit(model, layer, 0, loss)
    z = unit.objective.inputs_of(unit.layer) @ unit.layer.rows()[0]
    h = 1e-6
    with torch.no_grad():
        here = unit._outputs(z)[:, 0]
        slope = (unit._outputs(z + h)[:, 0] - unit._outputs(z - h)[:, 0]) / (2 * h)
    sech = 1 / torch.cosh(here - unit.objective.targets[:, 0] / 10)
    torch.testing.assert_close(unit.bends(z), sech**2 * slope**2 / len(z), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_direction_turns_at_right_angles_by_the_formula(layer):
    unit = _unit(_network(), layer, 1 if layer < 2 else 0)
    inputs, w = unit.objective.inputs_of(unit.layer), unit.layer.rows()[unit.index]
    turn = turned(unit, inputs, w)
    change = (turn.weights - w).numpy()
    assert abs(change @ w.numpy()) < 1e-12 * np.linalg.norm(change) * np.linalg.norm(w.numpy())

    x, slopes, bends = inputs.numpy(), unit.slope(inputs @ w)[1].numpy(), unit.bends(inputs @ w).numpy()
    second = x.T @ x / len(x)
    norm = np.sqrt(w.numpy() @ second @ w.numpy())
    projector = np.eye(len(second)) - second @ np.outer(w, w) / norm**2
    h = w.numpy() @ x.T @ slopes - bends.sum() * norm * norm
    lipschitz = np.linalg.eigvalsh((x.T * bends) @ x)[-1] / bends.sum()
    assert turn.step_size == pytest.approx(-(norm**3) / (lipschitz * norm * h), rel=1e-10)
    np.testing.assert_allclose(change, -turn.step_size * projector @ x.T @ slopes, rtol=1e-8, atol=1e-12)


def test_the_length_is_where_the_loss_stops_falling():
    unit = _unit(_network(nn.ReLU), 1, 2)
    line = unit.objective.inputs_of(unit.layer) @ unit.layer.rows()[2]
    found = bisected_length(unit, line, 1.0, 50)
    losses = [unit.slope(g * line)[0] for g in found.length + np.array([-1e-3, 0.0, 1e-3])]
    assert losses[1] == min(losses)
    assert found.loss == losses[1]


def test_a_network_learns_and_every_evaluation_is_counted(monkeypatch):
    x, y = _regression()
    calls = {"slope": 0, "bends": 0}
    for name in calls:
        original = getattr(Unit, name)

        def counted(self, z, name=name, original=original):
            calls[name] += 1
            return original(self, z)

        monkeypatch.setattr(Unit, name, counted)
    told: list[str] = []
    run = nf.train_decoupled(_network(), (x, y / 5), steps=4, halvings=4, progress=told.append)
    assert [line.split(":")[0] for line in told] == [f"sweep {k} of 4" for k in (1, 2, 3, 4)]
    assert run.losses[-1] < 0.5 * run.losses[0]
    checked = 1  # before the first sweep, whether the model can be differentiated so
    assert calls["bends"] - checked == run.visits == 4 * 9
    assert run.gradient_evaluations[-1] == sum(calls.values()) - checked
    assert run.gradient_evaluations[0] == 0


def test_losses_and_lengths_are_those_of_the_model_that_is_returned():
    x, y = _regression()
    run = nf.train_decoupled(_network(), (x, y), steps=2, halvings=3)
    with torch.no_grad():
        outputs = run.model(x.double())
        hidden = run.model[0](x.double())
    assert run.losses[-1] == pytest.approx(0.5 * F.mse_loss(outputs, y.double()).item(), rel=1e-12)
    assert run.lengths[-1, 1] == pytest.approx(hidden[:, 1].square().mean().sqrt().item(), rel=1e-12)
    assert run.units[:5] == ("0[0]", "0[1]", "0[2]", "0[3]", "2[0]")


def test_cross_entropy_and_dead_units():
    """A unit that no sample activates has no direction to learn and stays."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(80, 3, generator=draws)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.randn(4, 3, generator=draws))
        net[2].weight.copy_(torch.randn(2, 4, generator=draws))
        net[0].bias[1] = -100.0
    run = nf.train_decoupled(net, (x, (x[:, 0] * x[:, 1] > 0).long()), loss="cross_entropy", steps=3)
    assert run.losses[-1] < run.losses[0]
    assert np.isnan(run.step_sizes[:, 1]).all()
    assert torch.equal(run.model[0].weight[1], net[0].weight[1])


def test_the_given_module_and_all_generators_are_left_as_they_were_and_runs_repeat():
    x, y = _regression()
    model = _network().eval()
    before = [parameter.clone() for parameter in model.parameters()]
    torch.manual_seed(5)
    state, python = torch.get_rng_state(), random.getstate()
    first, second = (nf.train_decoupled(model, (x, y), steps=2, halvings=2) for _ in range(2))
    assert all(torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in first.model.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert python == random.getstate()
    assert not first.model.training
    np.testing.assert_array_equal(first.losses, second.losses)


def test_a_network_is_built_from_the_seed():
    x, y = _regression()
    net = nf.mlp(inputs=5, width=3, depth=2, outputs=1, batch_norm=False)
    one, two, other = (nf.train_decoupled(net, (x, y), steps=1, halvings=2, seed=s) for s in (0, 0, 1))
    assert one.losses.tolist() == two.losses.tolist()
    assert one.losses[0] != other.losses[0]


def test_a_result_prints_and_is_written():
    x, y = _regression()
    data = nf.DataSet("points", x, y, None, test_inputs=x, test_targets=y)
    run = nf.train_decoupled(_network(), data, steps=2, halvings=2)
    assert "9 units by length and direction, 2 sweeps" in str(run)
    assert run.test_loss == pytest.approx(run.losses[-1], rel=1e-6)
    frame = run.to_frame()
    assert frame.shape == (3, 3 + 9)
    assert frame["loss"].tolist() == run.losses.tolist()
    read = json.loads(run.to_json())
    assert read["gradient_evaluations"] == run.gradient_evaluations.tolist()
    assert "model" not in read


_X, _Y = _regression()
_ZERO = nn.Linear(5, 1)
with torch.no_grad():
    _ZERO.weight.zero_()
    _ZERO.bias.zero_()
_HALF = nn.Linear(5, 1)
_HALF.bias.requires_grad_(False)


def _tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Linear(5, 1))
    model[2].weight = model[0].weight
    return model


class _Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(5, 5), nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.inner(self.inner(x)))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3), nn.Linear(3, 1)), "got 1.weight"),
        (
            nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)),
            "a model without batch norm",
        ),
        (nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5), nn.Linear(3, 1)), "a model that draws nothing"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(5, 1)), "got parametrizations.weight.original0"),
        (_Twice(), "called once"),
        (
            nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Linear(5, 1), nn.Flatten()),
            "as rows (samples, features)",
        ),
        (_ZERO, "units that start with an output other than 0"),
        (_HALF, "both trainable or both frozen"),
        (_tied(), "weights that two layers share"),
    ],
)
def test_what_cannot_be_trained_so_is_refused_in_one_line(model, words):
    with pytest.raises(InvalidInput) as caught:
        nf.train_decoupled(model, (_X, _Y), steps=1)
    line = str(caught.value)
    assert words in line
    assert len(line.splitlines()) == 1


class _OnceOnly(torch.autograd.Function):
    """A loss by hand, with one derivative backwards and none forwards."""

    @staticmethod
    def forward(ctx, outputs):
        ctx.save_for_backward(outputs)
        return outputs.clone()

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0]


class _ByHand(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _OnceOnly.apply(x)  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize(
    "model", [nn.Sequential(nn.Linear(5, 1), _ByHand()), nn.Linear(5, 1).to(torch.bfloat16)]
)
def test_what_has_no_forward_derivative_or_eigenvalues_is_refused_in_one_line(model):
    with pytest.raises(InvalidInput, match="expected a model with derivatives forwards") as caught:
        nf.train_decoupled(model, (_X, _Y), steps=1)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("settings", [{"steps": 0}, {"halvings": 0}, {"halvings": 2.5}, {"seed": -1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInput, match=f"expected {next(iter(settings))}"):
        nf.train_decoupled(_single(True), (_X, _Y), **settings)
