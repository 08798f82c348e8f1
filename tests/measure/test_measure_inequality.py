"""Santurkar's theorems at real batch norms, against dense Hessians of networks written out by formula."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.functional import hessian

import normfield as nf
from normfield.errors import InvalidInput

NO_EPSILON = 1e-30  # torch refuses 0 in training mode; beside a variance of 1 this is nothing in float64
Y = torch.arange(9) % 3


def dense(eps: float, seed: int = 0) -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(seed)
    layers = [nn.Linear(4, 5), nn.BatchNorm1d(5, eps=eps), nn.Tanh(), nn.Linear(5, 3)]
    model = nn.Sequential(*layers).double()
    nn.init.normal_(model[1].weight)  # of either sign
    nn.init.normal_(model[1].bias)
    return model, torch.randn(9, 4, dtype=torch.float64)


def convolutional(eps: float, seed: int = 0) -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3, eps=eps), nn.Softplus(), nn.Flatten(), nn.Linear(12, 3)]
    model = nn.Sequential(*layers).double()
    nn.init.normal_(model[1].weight)
    return model, torch.randn(9, 2, 3, 3, dtype=torch.float64)


def by_formula(layer: nn.BatchNorm1d | nn.BatchNorm2d, y: Tensor) -> Tensor:
    shape = (1, -1) + (1,) * (y.dim() - 2)
    others = [0, *range(2, y.dim())]
    centred = y - y.mean(others, keepdim=True)
    variance = (centred**2).mean(others, keepdim=True)
    return centred / (variance + layer.eps).sqrt() * layer.weight.reshape(shape) + layer.bias.reshape(shape)


def in_unit(at: Tensor, unit: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The unit's values as one vector, and how to put others in their place."""

    def put(values: Tensor) -> Tensor:
        columns = list(at.unbind(1))
        columns[unit] = values.reshape(columns[unit].shape)
        return torch.stack(columns, 1)

    return at[:, unit].reshape(-1), put


def unit_by_hand(model: nn.Sequential, x: Tensor, unit: int) -> dict[str, float]:
    """Gradients and dense Hessians of one unit, by inputs and by outputs of the batch norm."""
    norm = model[1]
    y = model[0](x).detach()
    z = by_formula(norm, y).detach()

    def of_output(at: Tensor) -> Tensor:
        return F.cross_entropy(model[2:](at), Y)

    values, put = in_unit(y, unit)
    outputs, put_output = in_unit(z, unit)
    g_hat, g = (
        torch.autograd.functional.jacobian(function, at)
        for function, at in (
            (lambda v: of_output(by_formula(norm, put(v))), values),
            (lambda v: of_output(put_output(v)), outputs),
        )
    )
    above = hessian(lambda v: of_output(by_formula(norm, put(v))), values, vectorize=True)
    below = hessian(lambda v: of_output(put_output(v)), outputs, vectorize=True)
    gamma, m = norm.weight[unit].item(), len(values)
    variance = float(values.var(correction=0)) + norm.eps
    normalised = (values - values.mean()) / math.sqrt(variance)
    inner = gamma**2 / variance * float(g_hat @ below @ g_hat)
    taken = float(g.sum()) ** 2 / m + float(g @ normalised) ** 2 / m
    return {
        "squared_gradient": float(g_hat @ g_hat),
        "squared_gradient_at_output": float(g @ g),
        "bound": gamma**2 / variance * (float(g @ g) - taken),
        "curvature": float(g_hat @ above @ g_hat),
        "theorem": inner - gamma / (m * variance) * float(g @ normalised) * float(g_hat @ g_hat),
    }


@pytest.mark.parametrize("eps", [NO_EPSILON, 0.3])
@pytest.mark.parametrize("made", [dense, convolutional])
def test_both_sides_are_those_of_dense_derivatives(made: Any, eps: float) -> None:
    model, x = made(eps)
    (layer,) = nf.gradient_inequality(model, (x, Y), "cross_entropy", units=None).layers
    assert layer.samples == x[:, 0].numel() // x[0, 0].numel() * (4 if made is convolutional else 1)
    assert layer.name == "1"
    for unit in range(len(layer.gamma)):
        expected = unit_by_hand(model, x, unit)
        place = layer.curvature_units.index(unit)
        for name in ("squared_gradient", "squared_gradient_at_output", "bound"):
            assert getattr(layer, name)[unit] == pytest.approx(expected[name], rel=1e-9)
        assert layer.curvature[place] == pytest.approx(expected["curvature"], rel=1e-8, abs=1e-16)
        assert layer.curvature_theorem[place] == pytest.approx(expected["theorem"], rel=1e-8, abs=1e-16)


@pytest.mark.parametrize("made", [dense, convolutional])
def test_both_theorems_are_equations_without_epsilon(made: Any) -> None:
    model, x = made(NO_EPSILON)
    found = nf.gradient_inequality(model, (x, Y), "cross_entropy", units=None)
    (layer,) = found.layers
    np.testing.assert_allclose(layer.squared_gradient, layer.bound, rtol=1e-9)
    np.testing.assert_allclose(layer.curvature, layer.curvature_theorem, rtol=1e-9)
    np.testing.assert_allclose(layer.exact, layer.bound, rtol=1e-12)
    np.testing.assert_allclose(layer.curvature_exact, layer.curvature_theorem, rtol=1e-9)
    assert found.holds


@pytest.mark.parametrize("made", [dense, convolutional])
def test_epsilon_leaves_slack_and_the_exact_forms_hold(made: Any) -> None:
    model, x = made(0.3)
    found = nf.gradient_inequality(model, (x, Y), "cross_entropy", units=None)
    (layer,) = found.layers
    assert (layer.slack > 1e-9 * layer.bound).all()
    np.testing.assert_allclose(layer.squared_gradient, layer.exact, rtol=1e-9)
    np.testing.assert_allclose(layer.curvature, layer.curvature_exact, rtol=1e-9)
    assert np.abs(layer.curvature - layer.curvature_theorem).max() > 1e-4 * layer.curvature_size.max()
    assert found.holds
    assert found.largest_error < 1e-12


class Block(nn.Module):
    """A residual net with a batch norm called twice, one without γ, and operations in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 5), nn.BatchNorm1d(5, eps=0.1)
        self.second, self.plain = nn.Linear(5, 5), nn.BatchNorm1d(5, affine=False)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h = h + F.relu_(self.norm(self.second(F.relu_(self.norm(h)))))
        z = self.plain(h)
        h += 1
        return self.head(z.mul_(2) + h)


def test_shared_layers_skips_and_operations_in_place() -> None:
    torch.manual_seed(1)
    model, x = Block().double(), torch.randn(9, 4, dtype=torch.float64)
    found = nf.gradient_inequality(model, (x, Y), "cross_entropy", units=None)
    assert [layer.name for layer in found.layers] == ["norm, call 1", "norm, call 2", "plain"]
    assert found.holds
    assert found.largest_error < 1e-11
    np.testing.assert_array_equal(found.layers[2].gamma, 1)
    h = model.first(x)  # ∂ℓ/∂z at the first call, the rest written out
    z = by_formula(model.norm, h).detach().requires_grad_()
    inner = h + by_formula(model.norm, model.second(z.relu())).relu()
    u = (inner - inner.mean(0)) / (inner.var(0, correction=0) + 1e-5).sqrt()
    loss = F.cross_entropy(model.head(2 * u + inner + 1), Y)
    (g,) = torch.autograd.grad(loss, z)
    np.testing.assert_allclose(found.layers[0].squared_gradient_at_output, g.square().sum(0), rtol=1e-9)


def test_single_precision_holds_up_to_its_round_off() -> None:
    model, x = dense(1e-5)
    found = nf.gradient_inequality(model.float(), (x, Y), "cross_entropy", units=None)
    assert found.holds
    assert 1e-12 < found.largest_error < 1e-4


@pytest.mark.parametrize("spread", [0.005, 0.0005])
def test_a_mean_far_from_zero_costs_digits_and_no_theorem(spread: float) -> None:
    torch.manual_seed(0)
    layers = [nn.BatchNorm1d(4), nn.Linear(4, 8), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, 3)]
    model, x, y = nn.Sequential(*layers), 2000 + spread * torch.randn(32, 4), torch.arange(32) % 3
    found = nf.gradient_inequality(model, (x, y), "cross_entropy", units=None)
    assert found.largest_error > found.round_off  # else the test could not fail
    assert found.holds
    assert "no more than round-off of float32 may explain: measure in float64" in str(found)
    assert "DO NOT" not in str(found)
    np.testing.assert_allclose(found.layers[0].mean, x.double().mean(0), rtol=1e-12)
    exact = nf.gradient_inequality(model.double(), (x.double(), y), "cross_entropy", units=None)
    assert exact.holds
    assert exact.largest_error < 1e-9
    assert "round-off" not in str(exact)


def test_only_the_unit_whose_mean_is_far_from_zero_is_allowed_more() -> None:
    model, x = dense(1e-5)
    with torch.no_grad():
        model[0].bias[2] = 1e4
    found = nf.gradient_inequality(model.float(), (x, Y), "cross_entropy")
    (layer,) = found.layers
    allowed = layer.allowance(found.round_off)
    assert allowed[2] > 1.5 * found.round_off
    assert np.delete(allowed, 2).max() < 1.01 * found.round_off
    for unit in (0, 2):
        shifted = layer.exact.copy()
        shifted[unit] = layer.squared_gradient[unit] + 1.3 * found.round_off * layer.size[unit]
        changed = dataclasses.replace(found, layers=(dataclasses.replace(layer, exact=shifted),))
        assert changed.holds is (unit == 2)
    assert "cannot be told" in str(dataclasses.replace(found, round_off=1e-12))
    assert "more than the round-off of float32 may explain: measure in float64" in str(
        dataclasses.replace(found, round_off=1e-12)
    )


def test_a_loss_that_is_linear_in_the_outputs_has_no_inner_curvature() -> None:
    model, x = dense(0.3)
    found = nf.gradient_inequality(model[:2], (x, Y), lambda f, y: (f * f.detach()).sum(), units=None)
    assert found.holds
    assert (np.abs(found.layers[0].curvature) > 0).all()


def test_the_units_with_the_largest_gradients_are_taken() -> None:
    model, x = dense(1e-5)
    (every,) = nf.gradient_inequality(model, (x, Y), units=None).layers
    (some,) = nf.gradient_inequality(model, (x, Y), units=2).layers
    assert set(some.curvature_units) == set(np.argsort(every.squared_gradient)[-2:])
    frame = nf.gradient_inequality(model, (x, Y), units=2).to_frame()
    assert list(frame["squared_gradient"]) == list(every.squared_gradient)
    assert frame["curvature"].notna().sum() == 2
    assert set(frame["unit"][frame["curvature"].notna()]) == set(some.curvature_units)


def test_layers_can_be_chosen() -> None:
    torch.manual_seed(1)
    model, x = Block().double(), torch.randn(9, 4, dtype=torch.float64)
    found = nf.gradient_inequality(model, (x, Y), layers=["plain"])
    assert [layer.name for layer in found.layers] == ["plain"]
    assert (
        nf.gradient_inequality(model, (x, Y), layers="plain").layers[0].bound.tolist()
        == found.layers[0].bound.tolist()
    )
    with pytest.raises(InvalidInput, match=r"batch norms, got 'head'; .* this module has 'norm', 'plain'$"):
        nf.gradient_inequality(model, (x, Y), layers=["head"])
    with pytest.raises(InvalidInput, match="names of batch norms, got no name"):
        nf.gradient_inequality(model, (x, Y), layers=[])
    with pytest.raises(InvalidInput, match="units an integer of at least 1, got 0"):
        nf.gradient_inequality(model, (x, Y), units=0)


def test_a_module_without_batch_norm_has_none_here() -> None:
    found = nf.gradient_inequality(nn.Linear(4, 3), (torch.randn(9, 4), Y))
    assert found.layers == ()
    assert str(found) == "none here: the module calls no batch norm"
    assert len(found.to_frame()) == 0
    assert json.loads(found.to_json())["reason"] == "none here: the module calls no batch norm"
    with pytest.raises(InvalidInput, match="at least one batch norm to draw, got none"):
        found.plot()


def test_a_broken_inequality_or_equation_would_be_told() -> None:
    model, x = dense(1e-5)
    found = nf.gradient_inequality(model, (x, Y), "cross_entropy")
    (layer,) = found.layers
    for changed in (
        {"bound": 0.9 * layer.bound},
        {"exact": 1.1 * layer.exact},
        {"curvature": layer.curvature + 0.1 * layer.curvature_size},
    ):
        broken = dataclasses.replace(found, layers=(dataclasses.replace(layer, **changed),))
        assert not broken.holds
        assert "DO NOT HOLD" in str(broken)
    assert "hold at 1 batch norms" in str(found)


def test_what_is_shown_are_the_numbers() -> None:
    model, x = dense(0.3)
    found = nf.gradient_inequality(model, (x, Y), "cross_entropy")
    (layer,) = found.layers
    told = json.loads(found.to_json())
    assert told["holds"] is True
    assert told["layers"][0]["slack"] == list(layer.slack)
    ratio = math.sqrt(layer.squared_gradient.sum() / layer.squared_gradient_at_output.sum())
    assert layer.gradient_ratio == pytest.approx(ratio)
    drawn = found.plot().to_dict()["data"]
    assert list(drawn[0]["y"]) == [pytest.approx(ratio)]
    assert layer.bound_ratio > layer.gradient_ratio


def test_a_layer_that_the_loss_does_not_reach_is_told() -> None:
    model, x = dense(0.3)

    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.aside = model, nn.BatchNorm1d(4).double()

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x)
            return self.used(x)

    found = nf.gradient_inequality(Aside(), (x, Y))
    assert math.isnan(found.layers[0].gradient_ratio)
    assert found.holds
    assert "does not depend on that layer" in json.loads(found.to_json())["reason"]
    assert found.plot().to_dict()["data"]


def test_the_module_is_left_as_it_was() -> None:
    model, x = dense(0.3)
    model(x).sum().backward()
    model[1].eval()

    def state() -> list[Any]:
        values = [tensor.numpy().tobytes() for tensor in model.state_dict().values()]
        gradients = [p.grad.numpy().tobytes() for p in model.parameters() if p.grad is not None]
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
        modes = [module.training for module in model.modules()]
        return [values, gradients, hooks, modes, torch.get_rng_state().numpy().tobytes()]

    before = state()
    nf.gradient_inequality(model, (x, Y))
    assert state() == before

    def failing(outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad:
            raise ZeroDivisionError("in the loss")
        return outputs.sum()

    with pytest.raises(ZeroDivisionError, match="in the loss"):
        nf.gradient_inequality(model, (x, Y), failing)
    assert state() == before
