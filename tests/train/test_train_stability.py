"""The boundary is where linear stability puts it, the same for the same seeds, and the search ends when told to."""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from normfield.data import DataSet
from normfield.network import mlp
from normfield.train import CriticalLearningRate, critical_learning_rate

# Torch's own, at the first forward-mode derivative of a process.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def points(samples: int = 40, entries: int = 6, outputs: int = 2) -> DataSet:
    """Regression with unequal directions, so that one eigenvalue stands out."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(samples, entries, generator=generator) * torch.linspace(0.5, 2, entries)
    targets = torch.randn(samples, outputs, generator=generator)
    return DataSet("points", inputs, targets, None)


def seeded(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 2))


def short(build=seeded, data=None, **changes) -> CriticalLearningRate:
    settings = {
        "batch_size": 8,
        "epochs": 2,
        "restarts": 1,
        "look_for_best": False,
        "resolution": 0.2,
        **changes,
    }
    return critical_learning_rate(build, points() if data is None else data, **settings)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("start", [None, 1e-4, 1e3])
def test_a_linear_model_diverges_above_the_limit_of_linear_stability(momentum, start):
    data = points()
    inputs = data.inputs.numpy().astype(float)
    limit = 2 * (1 + momentum) / np.linalg.eigvalsh(inputs.T @ inputs / len(inputs))[-1]
    found = critical_learning_rate(
        lambda seed: nn.Linear(6, 2, bias=False).double(),
        data,
        batch_size=None,
        momentum=momentum,
        steps=1500,
        restarts=2,
        start=start,
        look_for_best=False,
    )
    assert found.status == "bracketed"
    for boundary in found.boundaries:
        assert boundary.high / boundary.low <= 10**0.05 * (1 + 1e-9)
    for boundary in found.boundaries[::2]:
        assert boundary.criterion == "diverged"
        assert boundary.low * 0.99 <= limit <= boundary.high * 1.01
    assert found.spread <= 0.05
    if start is None:
        assert found.reference == pytest.approx(limit, rel=0.02)
        assert found.limited is True
        assert found.verdict.startswith("limited by η*: runs diverge 0.0")
    else:
        assert found.reference == start
        assert found.limited is False
        assert found.decades_from_reference == pytest.approx(math.log10(limit / start), abs=0.06)


def test_value_and_error_bar_come_from_the_restarts_brackets():
    found = short(restarts=3, momentum=0.5)
    centres = [
        (math.log10(b.low) + math.log10(b.high)) / 2 for b in found.boundaries if b.criterion == "diverged"
    ]
    widths = [
        (math.log10(b.high) - math.log10(b.low)) / 2 for b in found.boundaries if b.criterion == "diverged"
    ]
    assert len(centres) == 3
    assert found.log10 == pytest.approx(np.mean(centres))
    assert found.value == pytest.approx(10 ** np.mean(centres))
    assert found.spread == pytest.approx(np.std(centres, ddof=1))
    assert found.half_width == pytest.approx(np.mean(widths))
    assert found.half_width <= 0.1 + 1e-9


def test_every_bracket_agrees_with_every_run_kept():
    found = short(restarts=2, resolution=0.1)
    for boundary in found.boundaries:
        beyond = "diverged" if boundary.criterion == "diverged" else "worse"
        for run in (run for run in found.runs if run.seed == boundary.seed):
            is_beyond = run.status == "diverged" if beyond == "diverged" else run.ended_worse
            if run.learning_rate < boundary.low * (1 + 1e-9):
                assert not is_beyond
            elif run.learning_rate < boundary.high * (1 - 1e-9):
                pytest.fail("a run inside a closed bracket")
    assert found.worse_value <= found.value * 10**0.1


def test_the_seeds_decide_everything_bit_for_bit():
    one, two, other = short(restarts=2, seed=4), short(restarts=2, seed=4), short(restarts=2, seed=6)
    assert [run.losses for run in one.runs] == [run.losses for run in two.runs]
    assert one.boundaries == two.boundaries
    assert one.runs[0].losses != other.runs[0].losses
    assert {run.seed for run in one.runs} == {4, 5}


def test_random_states_and_the_users_module_stay_untouched():
    with torch.random.fork_rng():
        model = seeded(0)
    model[1].eval()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    found = short(build=model)
    draws = short(build=lambda seed: (np.random.rand(), random.random(), seeded(seed))[2])  # noqa: NPY002
    assert found.status == draws.status == "bracketed"
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == [True, True, False, True, True]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_varies_is_said():
    model = nn.Linear(6, 2)
    assert short(build=model).varies == "data order only"
    assert short(build=lambda seed: model).varies == "data order only"
    assert short().varies == "initial weights and data order"
    assert short(build=lambda seed: nn.Linear(6, 2)).varies == "initial weights and data order"


def test_a_module_given_back_twice_starts_every_run_afresh():
    model = nn.Linear(6, 2)
    found = short(build=lambda seed: model)
    assert len({run.first_loss for run in found.runs}) == 1


def test_a_network_description_is_built_and_the_data_are_shaped_for_it():
    data = points()
    images = DataSet("images", data.inputs.reshape(-1, 2, 3), data.targets, None)
    found = short(build=mlp(6, 12, 2, 2, gamma=1.0, weight_variance=2.0, bias_variance=0.5), data=images)
    assert found.status == "bracketed"
    assert found.varies == "initial weights and data order"
    assert found.reference_source == "measured on 32 samples"


def test_samples_cut_the_data():
    found = short(samples=16)
    assert found.samples == 16
    assert found.runs[0].dropped_samples == 0


def test_units_are_those_of_the_users_loss():
    own = short(restarts=1, resolution=0.05, start=None)
    mean = short(restarts=1, resolution=0.05, start=None, loss=nn.MSELoss())
    assert mean.reference == pytest.approx(own.reference, rel=0.03)
    assert mean.log10 == pytest.approx(own.log10, abs=0.1)
    half = short(restarts=1, resolution=0.05, loss=lambda f, y: 0.1 * (f - y).square().sum() / (2 * len(f)))
    assert half.reference == pytest.approx(10 * own.reference, rel=0.03)
    assert half.log10 == pytest.approx(own.log10 + 1, abs=0.1)
    assert half.loss == "<lambda>"


def test_the_best_run_is_the_one_with_the_lowest_loss_and_is_looked_for_below_the_boundary():
    found = short(look_for_best=True, epochs=4)
    finished = [run for run in found.runs if run.status == "finished"]
    assert found.best.final_loss == min(run.final_loss for run in finished)
    assert found.best_learning_rate == found.best.learning_rate
    first = next(b for b in found.boundaries if b.criterion == "diverged")
    below = [math.log10(first.low) - run.log10 for run in found.runs]
    for depth in (0.25, 0.5, 0.75, 1.0):
        assert min(abs(depth - one) for one in below) < 0.3


def test_a_loss_that_cannot_diverge_is_not_bracketed_and_says_so():
    def bounded(outputs, targets):
        return torch.sigmoid(outputs).square().mean()

    found = short(loss=bounded, start=1.0)
    assert found.value is None
    assert found.status == "not bracketed: still below at log₁₀η = 6, with an upper limit of 6"
    assert found.limited is False
    assert found.verdict == "not limited by η*: still below at log₁₀η = 6, with an upper limit of 6"
    told = json.loads(found.to_json())
    assert told["value"] is None
    assert "still below" in told["reason"]


@pytest.mark.parametrize(("decades", "limited"), [(0.2, True), (-0.2, True), (0.4, False), (-0.4, False)])
def test_the_verdict_goes_by_the_distance_and_never_claims_a_limit_for_cross_entropy(decades, limited):
    found = short()
    side = "above" if decades > 0 else "below"
    squared = replace(found, reference=found.value / 10**decades)
    softmax = replace(squared, loss="cross_entropy")
    where = f"runs diverge {abs(decades)} decades {side} it"
    assert squared.limited is limited
    assert squared.verdict == f"{'limited' if limited else 'not limited'} by η*: {where}"
    assert softmax.limited is (None if limited else False)
    assert softmax.verdict.startswith(f"not {'shown to be ' if limited else ''}limited by η*: {where}")


def test_a_spent_budget_cuts_the_search_and_is_reported():
    class Slow(nn.Linear):
        def forward(self, x):
            time.sleep(0.01)
            return super().forward(x)

    began = time.monotonic()
    found = short(build=lambda seed: Slow(6, 2), start=0.1, restarts=5, epochs=10, budget=0.6)
    assert time.monotonic() - began < 3
    assert found.stopped == "budget spent"
    assert found.status.startswith("not bracketed: the search was stopped before")
    assert found.cut == f"budget of 0.6 s spent after {len(found.runs)} runs, 0 of 5 restarts bracketed"
    assert found.cut in str(found)


def test_a_budget_spent_after_a_restart_keeps_that_restart(monkeypatch):
    clock = iter(range(10_000_000))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    full = short(restarts=1, start=0.1)
    cut = short(restarts=4, start=0.1, budget=float(full.seconds + 20))
    assert cut.stopped == "budget spent"
    assert cut.status.startswith("bracketed in ")
    assert cut.status.endswith(" of 4 restarts; otherwise the search was stopped before")
    assert cut.boundaries[0] == full.boundaries[0]
    assert cut.value is not None


def test_an_interrupt_keeps_the_finished_runs():
    told = []

    def stop_after_three(seed: int) -> nn.Module:
        if len(told) == 3:
            raise KeyboardInterrupt
        return seeded(seed)

    with torch.random.fork_rng():
        found = short(build=stop_after_three, progress=told.append, restarts=5)
    assert found.stopped == "interrupted"
    assert found.status.startswith("interrupted: ")
    assert [str(run) for run in found.runs] == told
    assert len(told) == 3


def test_an_interrupt_from_the_progress_line_counts_too():
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    found = short(progress=interrupt)
    assert (found.stopped, len(found.runs)) == ("interrupted", 1)


def test_an_unmeasurable_start_is_said_and_the_search_goes_on():
    class Shrinking(nn.Module):
        """Gradients through a function without a second derivative."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x):
            return Once.apply(self.layer(x))

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return gradient

    found = short(build=lambda seed: Shrinking(), epochs=20)
    assert found.status == "bracketed"
    assert found.reference is None
    assert found.reference_source.startswith("not measured: ")
    assert found.limited is None
    assert "unknown (η* not measured" in found.verdict


def test_the_result_prints_tabulates_and_writes_strict_json():
    found = short(restarts=2)
    frame, told = found.to_frame(), json.loads(found.to_json(), parse_constant=pytest.fail)
    assert len(frame) == len(found.runs) == len(told["runs"])
    assert set(frame["restart"]) == {0, 1}
    assert frame["learning_rate"].tolist() == [run.learning_rate for run in found.runs]
    for name in (
        "value",
        "log10",
        "spread",
        "status",
        "verdict",
        "reference",
        "varies",
        "best_learning_rate",
    ):
        assert told[name] == getattr(found, name)
    assert told["boundaries"][0]["low"] == found.boundaries[0].low
    text = str(found)
    assert text.startswith(
        "Critical learning rate, squared, batch 8, momentum 0.9, 2 epochs: points: 40 of 40"
    )
    assert f"log₁₀ {found.log10:+.2f}, spread {found.spread:.2f}, brackets ±{found.half_width:.2f}" in text


def test_one_restart_has_no_spread_and_json_says_why():
    found = short()
    assert found.spread is None
    assert json.loads(found.to_json())["reason"] == "one restart has no spread"
