"""Walks along the gradient against copies that are moved and run by hand, in float64."""

from __future__ import annotations

import copy
import json
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import normfield as nf
from normfield.errors import InvalidInput
from normfield.measure.subject.objective import distance, squared_norm

GENERATOR = torch.Generator().manual_seed(5)
X = torch.randn(24, 6, generator=GENERATOR, dtype=torch.float64)
Y = torch.arange(24) % 3


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 7), nn.BatchNorm1d(7), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(7, 3)).double()


class Frozen(nn.BatchNorm1d):
    """Batch norm by the batch's statistics as constants, written out."""

    def forward(self, input: Tensor) -> Tensor:
        x = input
        mean, variance = x.detach().mean(0), x.detach().var(0, correction=0)
        return (x - mean) / (variance + self.eps).sqrt() * self.weight + self.bias


def as_oracle(model: nn.Sequential, statistics: str) -> nn.Module:
    """A copy that computes with these statistics by its own mode or by layers of its own."""
    twin = copy.deepcopy(model).train(statistics != "running")
    if statistics == "frozen":
        for index in (1, 4):
            own = Frozen(twin[index].num_features).double()
            own.load_state_dict(twin[index].state_dict())
            twin[index] = own
    return twin


def slope(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, np.ndarray]:
    loss = nn.functional.cross_entropy(model(x), y)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return loss.item(), np.concatenate([g.numpy().ravel() for g in gradients])


def moved(model: nn.Module, direction: np.ndarray, step: float) -> nn.Module:
    there = copy.deepcopy(model)
    flat = nn.utils.parameters_to_vector(there.parameters()).detach()
    nn.utils.vector_to_parameters(flat - step * torch.from_numpy(direction), there.parameters())
    return there


@pytest.mark.parametrize("statistics", ["batch", "frozen", "running"])
def test_losses_and_gradients_are_those_of_moved_copies(statistics: str) -> None:
    model = net()
    model(X * 2 + 1)  # running statistics other than 0 and 1
    found = nf.landscape(model, (X, Y), "cross_entropy", learning_rate=0.3, points=5, statistics=statistics)
    oracle = as_oracle(model, statistics)
    first, g = slope(oracle, X, Y)
    assert found.initial_loss == pytest.approx(first, rel=1e-12)
    assert found.gradient_norm == pytest.approx(np.linalg.norm(g), rel=1e-10)
    np.testing.assert_allclose(found.steps, 0.15 * 8 ** (np.arange(5) / 4))
    rows = [slope(moved(oracle, g, a), X, Y) for a in found.steps]
    losses = np.array([loss for loss, _ in rows])
    changes = np.array([np.linalg.norm(g - there) for _, there in rows])
    np.testing.assert_allclose(found.losses, losses, rtol=1e-10)
    np.testing.assert_allclose(found.gradient_predictiveness, changes, rtol=1e-8)
    np.testing.assert_allclose(found.distances, found.steps * np.linalg.norm(g), rtol=1e-10)
    np.testing.assert_allclose(found.relative_losses, losses / first, rtol=1e-10)
    smoothness = max(changes / (found.steps * np.linalg.norm(g)))
    assert found.effective_smoothness == pytest.approx(smoothness, rel=1e-8)
    assert found.loss_range == (pytest.approx(min(losses)), pytest.approx(max(losses)))
    assert found.gradient_range == (pytest.approx(min(changes)), pytest.approx(max(changes)))
    assert (found.statistics, found.loss, found.samples) == (statistics, "cross_entropy", 24)


def test_statistics_batch_and_frozen_agree_on_losses_at_the_start_only() -> None:
    one, other = (nf.landscape(net(), (X, Y), statistics=name) for name in ("batch", "frozen"))
    assert one.initial_loss == pytest.approx(other.initial_loss, rel=1e-12)
    assert one.gradient_norm < 0.99 * other.gradient_norm


def test_the_smoothness_of_a_quadratic_is_its_curvature_along_the_gradient() -> None:
    layer = nn.Linear(6, 1, bias=False).double()
    y = X[:, :1] * 3
    hessian = X.T @ X / 24
    g = hessian @ layer.weight.detach()[0] - X.T @ y[:, 0] / 24
    found = nf.landscape(layer, (X, y), learning_rate=0.01)
    curvature = float((hessian @ g).norm() / g.norm())
    np.testing.assert_allclose(found.smoothness, curvature, rtol=1e-9)
    decrease = float(g @ g) * found.steps - 0.5 * found.steps**2 * float(g @ hessian @ g)
    np.testing.assert_allclose(found.losses, found.initial_loss - decrease, rtol=1e-10)
    largest = nf.curvature(layer, (X, y), kind="hessian", tolerance=1e-8).largest_eigenvalue
    assert found.effective_smoothness <= largest * (1 + 1e-8)


def test_a_step_that_raises_the_loss_a_thousandfold_diverges() -> None:
    layer = nn.Linear(1, 1, bias=False).double()
    batch = (torch.ones(4, 1).double(), torch.zeros(4, 1).double())
    found = nf.landscape(layer, batch, steps=[40.0, 1.0, 30.0, 34.0])  # ℓ(x − a·g)/ℓ(x) = (1 − a)²
    np.testing.assert_allclose(found.relative_losses, [0, 29**2, 33**2, 39**2], atol=1e-12)
    assert found.diverging_step == 34.0
    assert nf.landscape(layer, batch, steps=[30.0]).diverging_step is None
    assert "diverges from step 34 on" in str(found)


def test_a_loss_that_overflows_is_recorded_with_its_reason() -> None:
    model = net().float()
    found = nf.landscape(model, (X, Y), steps=[1e-2, 1e30, 1e38])
    assert math.isfinite(found.losses[0])
    assert not np.isfinite(found.losses[1:]).any()
    assert found.diverging_step == 1e30
    assert math.isfinite(found.effective_smoothness)
    told = json.loads(found.to_json())
    assert told["losses"][1] is None
    assert "not finite" in told["reason"]
    assert found.plot().to_dict()["data"]


def test_a_gradient_of_zero_is_told_not_raised() -> None:
    model = nn.Linear(6, 3).double()
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    found = nf.landscape(model, (X, torch.zeros(24, 3)))
    assert found.gradient_norm == 0
    assert math.isnan(found.effective_smoothness)
    assert "effective_smoothness: the gradient is zero" in json.loads(found.to_json())["reason"]
    assert found.plot().to_dict()["data"]
    assert found.gradient_figure().to_json()


def test_a_direction_replaces_the_gradient() -> None:
    model = net()
    oracle = as_oracle(model, "batch")
    _, g = slope(oracle, X, Y)
    d = np.random.default_rng(0).normal(size=g.size)
    found = nf.landscape(model, (X, Y), "cross_entropy", steps=[0.1, 0.2], direction=torch.from_numpy(d))
    rows = [slope(moved(oracle, d, a), X, Y) for a in (0.1, 0.2)]
    np.testing.assert_allclose(found.losses, [loss for loss, _ in rows], rtol=1e-10)
    changes = [np.linalg.norm(g - there) for _, there in rows]
    np.testing.assert_allclose(found.gradient_predictiveness, changes, rtol=1e-8)
    np.testing.assert_allclose(found.distances, np.linalg.norm(d) * found.steps, rtol=1e-10)
    assert found.direction == "given"


def test_a_direction_by_name_moves_only_what_it_names() -> None:
    model, part = net(), torch.ones(3, dtype=torch.float64)
    flat = torch.zeros(sum(p.numel() for p in model.parameters()), dtype=torch.float64)
    flat[-3:] = 1
    by_name = nf.landscape(model, (X, Y), direction={"6.bias": part})
    np.testing.assert_array_equal(by_name.losses, nf.landscape(model, (X, Y), direction=flat).losses)


def test_frozen_parameters_stay_and_do_not_count() -> None:
    model = net()
    for p in model[:4].parameters():
        p.requires_grad_(False)
    found = nf.landscape(model, (X, Y), "cross_entropy", steps=[0.5])
    inputs = model[:4](X).detach()
    head = copy.deepcopy(model[4:])
    _, g = slope(head, inputs, Y)
    loss, there = slope(moved(head, g, 0.5), inputs, Y)
    assert found.losses[0] == pytest.approx(loss, rel=1e-10)
    assert found.gradient_predictiveness[0] == pytest.approx(np.linalg.norm(g - there), rel=1e-8)


def test_several_batches_count_by_their_samples_with_statistics_of_their_own() -> None:
    model = net()
    oracle = as_oracle(model, "batch")
    batches = [(X[:8], Y[:8]), (X[8:], Y[8:])]
    (a, g), (b, h) = (slope(oracle, x, y) for x, y in batches)
    mean = g / 3 + 2 * h / 3
    found = nf.landscape(model, batches, "cross_entropy", steps=[0.4])
    assert found.initial_loss == pytest.approx(a / 3 + 2 * b / 3, rel=1e-12)
    (a, g), (b, h) = (slope(moved(oracle, mean, 0.4), x, y) for x, y in batches)
    assert found.losses[0] == pytest.approx(a / 3 + 2 * b / 3, rel=1e-10)
    change = np.linalg.norm(mean - g / 3 - 2 * h / 3)
    assert found.gradient_predictiveness[0] == pytest.approx(change, rel=1e-8)
    assert found.batches == 2


class CountedPasses(torch.autograd.Function):
    """The identity, which counts its passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: dict[str, int]) -> Tensor:
        ctx.counts = counts
        counts["forward"] += 1
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ctx.counts["backward"] += 1
        return gradients[0], None


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.counts = nn.Linear(6, 3).double(), {"forward": 0, "backward": 0}

    def forward(self, x: Tensor) -> Tensor:
        return CountedPasses.apply(self.inner(x), self.counts)


def test_eight_steps_cost_nine_gradients_and_two_forward_passes() -> None:
    model = Counting()
    found = nf.landscape(model, (X, Y))
    assert model.counts == {"forward": 11, "backward": 9}
    assert found.gradient_evaluations == 9


def test_dropout_draws_alike_at_every_point() -> None:
    model = nn.Sequential(nn.Linear(6, 40), nn.Dropout(0.5), nn.Linear(40, 3)).double()
    found = nf.landscape(model, (X, Y), steps=[1e-9, 2e-9])
    np.testing.assert_allclose(found.losses, found.initial_loss, rtol=1e-6)
    assert any("random draws" in line for line in found.assumes)


class OfDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = net()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.inner(left + right)


def test_dicts_and_wrappers_are_measured_as_what_is_in_them() -> None:
    plain = nf.landscape(net(), (X, Y))
    of_dict = nf.landscape(OfDict(), {"left": X / 2, "right": X / 2, "targets": Y})
    wrapped = nf.landscape(torch.compile(nn.DataParallel(net()), backend="eager"), (X, Y))
    np.testing.assert_allclose(of_dict.losses, plain.losses, rtol=1e-10)
    np.testing.assert_array_equal(wrapped.losses, plain.losses)


def state(model: nn.Module) -> list[Any]:
    values = [tensor.numpy().tobytes() for tensor in model.state_dict().values()]
    gradients = [None if p.grad is None else p.grad.numpy().tobytes() for p in model.parameters()]
    modes = [(module.training, len(module._forward_hooks), len(vars(module))) for module in model.modules()]
    draws = [torch.get_rng_state().numpy().tobytes(), random.getstate(), str(np.random.get_state())]  # noqa: NPY002
    return [values, gradients, modes, draws]


def failing(outputs: Tensor, targets: Tensor) -> Tensor:
    """Raises where a step has moved the model far away."""
    if float(outputs.detach().abs().max()) > 1e3:
        raise ZeroDivisionError("too far")
    return outputs.square().mean()


def test_the_module_is_left_as_it_was_also_by_an_exception() -> None:
    model = net()
    model(X).sum().backward()
    model[1].eval()
    before = state(model)
    nf.landscape(model, (X, Y))
    assert state(model) == before
    with pytest.raises(InvalidInput, match=r"ZeroDivisionError at step 1e\+06: too far; give smaller steps"):
        nf.landscape(model, (X, Y), failing, steps=[0.1, 1e6])
    assert state(model) == before


def test_vectors_are_measured_whole_however_few_entries_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    v = (torch.arange(12.0).reshape(3, 4).T, torch.tensor(5.0), torch.zeros(0, 3), torch.ones(7))
    w = tuple(torch.ones_like(piece) for piece in v)
    for entries in (2**17, 5):
        monkeypatch.setattr("normfield.measure.subject.objective.ENTRIES_TOGETHER", entries)
        assert squared_norm(v) == sum(n * n for n in range(12)) + 25 + 7
        assert distance(v, w) == pytest.approx(math.sqrt(sum((n - 1) ** 2 for n in range(12)) + 16))


def test_the_same_seed_gives_the_same_numbers() -> None:
    model = nn.Sequential(nn.Linear(6, 40), nn.Dropout(0.5), nn.Linear(40, 3)).double()
    one, two, other = (nf.landscape(model, (X, Y), seed=seed).losses for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_frame_json_and_figures_hold_the_numbers() -> None:
    found = nf.landscape(net(), (X, Y), learning_rate=0.2, points=4)
    frame = found.to_frame()
    assert list(frame["step"]) == list(found.steps)
    assert list(frame["gradient_predictiveness"]) == list(found.gradient_predictiveness)
    told = json.loads(found.to_json())
    assert told["effective_smoothness"] == found.effective_smoothness
    assert told["diverging_step"] is None
    assert "diverging_step: no step diverges" in told["reason"]
    assert list(found.plot().to_dict()["data"][0]["y"]) == list(found.losses)
    drawn = json.loads(found.gradient_figure().to_json())
    assert drawn["data"][0]["y"] == list(found.gradient_predictiveness)
    assert "5 gradient evaluations" in str(found)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no rate": ({"learning_rate": 0.0}, "expected a finite learning_rate above 0, got 0.0; give 0.1, say"),
    "a rate in words": ({"learning_rate": "fast"}, "a finite learning_rate above 0, got 'fast'"),
    "one point": ({"points": 1}, "points as a whole number of at least 2, got 1"),
    "no steps": ({"steps": []}, "steps as finite numbers above 0, got none"),
    "a step back": ({"steps": [0.1, -0.1]}, "steps as finite numbers above 0, got -0.1"),
    "a step of NaN": ({"steps": [float("nan")]}, "got nan; give steps=(0.05, 0.1, 0.2, 0.4)"),
    "a direction of no parameter": ({"direction": {"7.bias": X}}, "got '7.bias'; use those of named_param"),
    "a direction of another shape": ({"direction": {"6.bias": X}}, "a tensor of shape (3,) for '6.bias'"),
    "a flat direction too short": ({"direction": torch.ones(3)}, "shape (173,), got shape (3,)"),
    "a direction in words": ({"direction": "down"}, "names to tensors, or a flat tensor, got str"),
    "a direction of NaN": ({"direction": {"6.bias": torch.full((3,), math.nan)}}, "a finite direction"),
    "statistics of another name": ({"statistics": "eval"}, "statistics one of batch, frozen, running"),
    "a loss of another name": ({"loss": "hinge"}, "a loss: 'squared', 'cross_entropy'"),
    "a loss of NaN": ({"loss": lambda f, y: f.sum() * math.nan}, "expected a finite loss, got nan"),
    "a gradient of NaN": ({"loss": lambda f, y: (0 * f.sum()).abs().sqrt()}, "a finite gradient to walk"),
    "a seed of half": ({"seed": 0.5}, "seed as a whole number"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str) -> None:
    options, words = MISTAKES[name]
    model = net()
    before = state(model)
    with pytest.raises(InvalidInput) as caught:
        nf.landscape(model, (X, Y), **options)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert state(model) == before
