"""Gradient noise against samples differentiated one by one, known populations, and all batches there are."""

from __future__ import annotations

import copy
import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import normfield as nf
from normfield.errors import InvalidInput
from normfield.measure.noise.scatter import scatter


def plain(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def normed(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()


def data(samples: int = 48, seed: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, 4, generator=generator, dtype=torch.float64), torch.arange(samples) % 3


def split(x: Tensor, y: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), y.split(size), strict=True))


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> np.ndarray:
    """Of the cross-entropy, on a copy in the mode in which it is."""
    twin = copy.deepcopy(model)
    slopes = torch.autograd.grad(F.cross_entropy(twin(x), y), list(twin.parameters()))
    return np.concatenate([slope.numpy().ravel() for slope in slopes])


def by_hand(gradients: np.ndarray, size: int) -> dict[str, float]:
    """Estimates from the covariance matrix itself."""
    trace = float(np.trace(np.cov(gradients.T)))
    mean = gradients.mean(0)
    squared = float(mean @ mean) - trace / len(gradients)
    return {
        "covariance_trace": size * trace,
        "squared_gradient": squared,
        "signal_to_noise": squared / (size * trace),
    }


ERRORS = {
    "covariance_trace": "standard_error",
    "squared_gradient": "squared_gradient_error",
    "signal_to_noise": "signal_to_noise_error",
}


def check(found: nf.GradientNoise, gradients: np.ndarray, size: int) -> None:
    """Values, and errors by leaving out one gradient after another."""
    count = len(gradients)
    without = [by_hand(np.delete(gradients, index, 0), size) for index in range(count)]
    for name, value in by_hand(gradients, size).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-8)
        spread = np.std([row[name] for row in without])
        assert getattr(found, ERRORS[name]) == pytest.approx(math.sqrt(count - 1) * spread, rel=1e-6)
    assert (found.draws, found.batch_size) == (count, size)


@pytest.mark.parametrize("sizes", [48, 16])
def test_without_batch_norm_samples_are_taken_apart(sizes: int) -> None:
    model, (x, y) = plain(), data()
    found = nf.gradient_noise(model, split(x, y, sizes), "cross_entropy")
    rows = np.array([gradient(model, x[i : i + 1], y[i : i + 1]) for i in range(48)])
    check(found, rows, 1)
    assert found.unit == "samples"
    assert found.assumes == ()


def test_with_batch_norm_mini_batches_scatter() -> None:
    model, (x, y) = normed(), data()
    found = nf.gradient_noise(model, split(x, y, 8), "cross_entropy")
    check(found, np.array([gradient(model, a, b) for a, b in split(x, y, 8)]), 8)
    assert found.unit == "mini-batches"
    assert "with batch norm a sample has no gradient of its own: C is 8 times" in found.assumes[0]


def test_frozen_statistics_are_the_batch_s_and_running_ones_are_nobody_s() -> None:
    model, (x, y) = normed(), data()
    model(x * 2 + 1)
    frozen = nf.gradient_noise(model, split(x, y, 8), "cross_entropy", statistics="frozen")
    assert (frozen.unit, frozen.draws) == ("mini-batches", 6)
    running = nf.gradient_noise(model, split(x, y, 8), "cross_entropy", statistics="running")
    twin = copy.deepcopy(model).eval()
    check(running, np.array([gradient(twin, x[i : i + 1], y[i : i + 1]) for i in range(48)]), 1)
    assert running.unit == "samples"


class Branching(nn.Module):
    """Reads values in Python, which cannot be vectorised."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * (2 if x.isfinite().all().item() else 1)


def test_what_cannot_be_vectorised_is_taken_one_by_one() -> None:
    model, (x, y) = Branching(), data(12)
    found = nf.gradient_noise(model, (x, y), "cross_entropy")
    check(found, np.array([gradient(model, x[i : i + 1], y[i : i + 1]) for i in range(12)]), 1)
    assert found.unit == "samples"


def contrast(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss in which samples meet."""
    return (outputs @ outputs.T).square().mean()


def test_samples_that_meet_elsewhere_are_noticed() -> None:
    x, y = data()
    dropout = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 3)).double()
    for model, loss in ((plain(), contrast), (dropout, "cross_entropy")):
        found = nf.gradient_noise(model, split(x, y, 8), loss)
        assert found.unit == "mini-batches"
        assert any("not the mean of its samples' gradients: C is 8 times" in line for line in found.assumes)


class OfDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = plain()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.inner(left + right)


def test_dicts_and_squared_losses_are_taken_apart_too() -> None:
    x, y = data()
    of_dict = nf.gradient_noise(OfDict(), {"left": x / 2, "right": x / 2, "targets": y}, "squared")
    expected = nf.gradient_noise(plain(), (x, y), "squared")
    assert (of_dict.unit, expected.unit) == ("samples", "samples")
    assert of_dict.covariance_trace == pytest.approx(expected.covariance_trace, rel=1e-10)
    rows = []
    for i in range(48):
        model = plain()
        loss = 0.5 * (model(x[i]) - F.one_hot(y[i], 3)).square().sum()
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        rows.append(np.concatenate([slope.numpy().ravel() for slope in slopes]))
    check(expected, np.array(rows), 1)


def test_a_step_s_noise_is_that_of_all_batches_there_are() -> None:
    model, (x, y) = plain(), data(7)
    found = nf.gradient_noise(model, (x, y), "cross_entropy")
    whole = gradient(model, x, y)
    for size in (1, 2, 5, 7):
        chosen = [list(some) for some in itertools.combinations(range(7), size)]
        misses = [0.3 * (whole - gradient(model, x[some], y[some])) for some in chosen]
        expected = float(np.mean([miss @ miss for miss in misses]))
        assert found.at(0.3, size, samples=7) == pytest.approx(expected, rel=1e-9, abs=1e-20)
    assert found.at(0.3, 5) == pytest.approx(0.09 * found.covariance_trace / 5, rel=1e-12)
    assert found.at(0.3, 5, 10**9) == pytest.approx(found.at(0.3, 5), rel=1e-8)


DIMENSION, DELTA, SIGMA = 5, 0.7, 1.0


def regression(generator: torch.Generator, samples: int) -> tuple[Tensor, Tensor]:
    """Standard normal x and y = −Σx·δ/√d + σ·noise: at w = 0 a sample's gradient is (x·δ + σ·noise)·x."""
    x = torch.randn(samples, DIMENSION, generator=generator, dtype=torch.float64)
    noise = torch.randn(samples, 1, generator=generator, dtype=torch.float64)
    return x, -DELTA * x.sum(1, keepdim=True) / math.sqrt(DIMENSION) + SIGMA * noise


def test_bias_and_coverage_over_200_repeats_of_a_known_population() -> None:
    # E‖∇ℓ_i‖² = σ²d + ‖δ‖²(d + 2) and ∇ℓ = δ, by the fourth moments of a Gaussian. Of 3,000 simulated repeats these
    # fractions of 95 % intervals held: the law has heavy tails, and the jackknife does not know them from 128 draws.
    covered = {"covariance_trace": 0.931, "squared_gradient": 0.910, "signal_to_noise": 0.935}
    trace = SIGMA**2 * DIMENSION + DELTA**2 * (DIMENSION + 1)
    truth = dict(zip(covered, (trace, DELTA**2, DELTA**2 / trace), strict=True))
    layer = nn.Linear(DIMENSION, 1, bias=False).double()
    nn.init.zeros_(layer.weight)
    generator = torch.Generator().manual_seed(11)
    found = [nf.gradient_noise(layer, regression(generator, 128)) for _ in range(200)]
    for name in ("covariance_trace", "squared_gradient"):
        values = np.array([getattr(one, name) for one in found])
        assert abs(values.mean() - truth[name]) < 3 * values.std(ddof=1) / math.sqrt(200)
    inside = {
        "covariance_trace": [one.interval[0] < trace < one.interval[1] for one in found],
        "squared_gradient": [
            abs(one.squared_gradient - DELTA**2) < 1.979 * one.squared_gradient_error for one in found
        ],
        "signal_to_noise": [
            one.noise_scale_interval[0] < trace / DELTA**2 < one.noise_scale_interval[1] for one in found
        ],
    }
    for name, expected in covered.items():
        assert abs(np.mean(inside[name]) - expected) < 3 * math.sqrt(expected * (1 - expected) / 200)


def test_bias_and_coverage_across_mini_batches_of_a_batch_norm_network() -> None:
    model, size, count = normed(), 8, 24
    generator = torch.Generator().manual_seed(12)

    def batches(number: int) -> list[tuple[Tensor, Tensor]]:
        x = torch.randn(number * size, 4, generator=generator, dtype=torch.float64)
        return split(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long(), size)

    names = [name for name, _ in model.named_parameters()]

    def of_batch(parameters: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
        p = dict(zip(names, parameters, strict=True))
        z = x @ p["0.weight"].T + p["0.bias"]
        z = (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() * p["1.weight"] + p["1.bias"]
        return F.cross_entropy(z.tanh() @ p["3.weight"].T + p["3.bias"], y)

    many = [torch.stack(parts) for parts in zip(*batches(6000), strict=True)]
    exact = torch.func.vmap(torch.func.grad(of_batch), in_dims=(None, 0, 0))(tuple(model.parameters()), *many)
    reference = torch.cat([piece.flatten(1) for piece in exact], 1).detach()
    squares = (reference - reference.mean(0)).square().sum(1) * size
    truth, truth_error = float(squares.mean()), float(squares.std()) / math.sqrt(6000)
    found = [nf.gradient_noise(model, batches(count), "cross_entropy") for _ in range(200)]
    values = np.array([one.covariance_trace for one in found])
    assert abs(values.mean() - truth) < 3 * math.hypot(values.std(ddof=1) / math.sqrt(200), truth_error)
    inside = np.mean([one.interval[0] < truth < one.interval[1] for one in found])
    assert abs(inside - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 200)


def test_two_readings_of_rows_give_the_errors_of_leaving_one_out() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 4)) + 0.5
    pieces = [torch.from_numpy(part) for part in np.split(rows, [4, 5])]
    found = scatter(lambda: pieces, 4)
    expected = by_hand(rows, 1)
    assert found.trace.value == pytest.approx(expected["covariance_trace"], rel=1e-12)
    without = [by_hand(np.delete(rows, index, 0), 1)["signal_to_noise"] for index in range(9)]
    assert found.ratio.standard_error == pytest.approx(math.sqrt(8) * np.std(without), rel=1e-10)


def test_few_entries_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(3, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = scatter(lambda: [rows[:2], rows[2:]], 10)
    monkeypatch.setattr("normfield.measure.noise.scatter.ENTRIES_TOGETHER", 7)
    parts = scatter(lambda: [rows[:2], rows[2:]], 10)
    for name in ("trace", "squared_mean", "ratio"):
        assert getattr(parts, name).value == pytest.approx(getattr(whole, name).value, rel=1e-12)
        assert getattr(parts, name).standard_error == pytest.approx(
            getattr(whole, name).standard_error, rel=1e-9
        )


def test_rows_beyond_the_memory_for_them_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (x, y) = normed(), data()
    kept = nf.gradient_noise(model, split(x, y, 8), "cross_entropy")
    monkeypatch.setattr("normfield.measure.noise.draws.BYTES_KEPT", 0)
    again = nf.gradient_noise(model, split(x, y, 8), "cross_entropy")
    assert again.covariance_trace == kept.covariance_trace
    assert again.standard_error == kept.standard_error


def test_gradients_that_do_not_scatter_are_told() -> None:
    layer = nn.Linear(1, 1, bias=False).double()
    found = nf.gradient_noise(layer, (torch.ones(8, 1).double(), torch.full((8, 1), 3.0).double()))
    assert found.covariance_trace == 0
    assert found.interval == (0, 0)
    assert math.isnan(found.noise_scale)
    assert json.loads(found.to_json())["reason"].endswith("the gradients do not scatter")
    with pytest.raises(InvalidInput, match="gradients that scatter, to draw their noise, got the same one"):
        found.plot()


def test_a_gradient_lost_in_noise_has_no_finite_noise_scale() -> None:
    layer = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(layer.weight)
    signs = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).repeat(8, 1)
    found = nf.gradient_noise(layer, (torch.ones_like(signs), signs))
    assert found.squared_gradient < 0
    assert found.noise_scale == math.inf
    told = json.loads(found.to_json())
    assert told["noise_scale"] is None
    assert told["reason"] == "noise_scale: the gradient cannot be told from noise"
    assert found.plot().to_dict()["data"]


def test_what_is_shown_are_the_numbers() -> None:
    found = nf.gradient_noise(normed(), split(*data(), 8), "cross_entropy")
    frame = found.to_frame()
    assert list(frame["value"]) == [found.covariance_trace, found.squared_gradient, found.signal_to_noise]
    told = json.loads(found.to_json())
    assert told["interval"] == list(found.interval)
    assert told["unit"] == "mini-batches"
    line = found.plot().to_dict()["data"][-1]  # the curve; before it stands its band
    np.testing.assert_allclose(np.multiply(line["x"], line["y"]), found.covariance_trace)
    assert "from 6 mini-batches of 8" in str(found)


def state(model: nn.Module) -> list[Any]:
    values = [tensor.numpy().tobytes() for tensor in model.state_dict().values()]
    gradients = [None if p.grad is None else p.grad.numpy().tobytes() for p in model.parameters()]
    modes = [(module.training, len(module._forward_hooks), len(vars(module))) for module in model.modules()]
    return [values, gradients, modes, torch.get_rng_state().numpy().tobytes(), str(np.random.get_state())]  # noqa: NPY002


X, Y = data()
BATCHES = split(X, Y, 8)
MISTAKES: dict[str, tuple[tuple[Any, ...], str]] = {
    "one batch": ((X, Y), "at least 4 mini-batches, since with batch norm a sample has no gradient"),
    "three batches": (BATCHES[:3], "got 3; give a list of batches or a loader, as they come in training"),
    "two sizes": ([*BATCHES, (X[:9], Y[:9])], "mini-batches of one size, since with batch norm"),
    "a sum": ((BATCHES, nn.CrossEntropyLoss(reduction="sum")), 'CrossEntropyLoss(sum); use reduction="mean"'),
    "an unknown loss": ((BATCHES, "hinge"), "a loss: 'squared', 'cross_entropy'"),
    "NaN": ([*BATCHES, (X[:8] * math.nan, Y[:8])], "finite inputs"),
    "no derivative": (
        (BATCHES, lambda f, y: (0 * f.sum()).abs().sqrt()),
        "finite gradients of every batch, got NaN or infinite values in one",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_everything(name: str) -> None:
    given, words = MISTAKES[name]
    is_loss = isinstance(given, tuple) and given and isinstance(given[0], list)
    model = normed()
    model(X).sum().backward()
    before = state(model)
    with pytest.raises(InvalidInput) as caught:
        nf.gradient_noise(model, *(given if is_loss else (given,)))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert state(model) == before


def test_a_measurement_leaves_everything() -> None:
    for model in (plain(), normed()):
        before = state(model)
        nf.gradient_noise(model, BATCHES, "cross_entropy")
        assert state(model) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0, 8), "a finite learning_rate above 0, got 0.0"),
        ((0.1, 0), "batch_size as a whole number of at least 1, got 0"),
        ((0.1, 2.5), "batch_size as a whole number of at least 1, got 2.5"),
        ((0.1, 8, 0), "samples as a whole number of at least 1, got 0"),
        ((0.1, 8, 4), "a batch_size of at most the 4 samples, got 8; leave samples out"),
    ],
)
def test_a_step_that_cannot_be_is_one_line(arguments: Any, words: str) -> None:
    found = nf.gradient_noise(normed(), BATCHES, "cross_entropy")
    with pytest.raises(InvalidInput) as caught:
        found.at(*arguments)
    assert words in str(caught.value)
