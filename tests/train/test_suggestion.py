"""Suggestions against a model whose best rate is known, against the gradients that they may take, and when stopped."""

from __future__ import annotations

import json
import math
import random
import time

import numpy as np
import pytest
import torch
from torch import nn

import normfield as nf
from normfield.data import load
from normfield.train.run import Run
from normfield.train.suggestion.edge import edge_of
from normfield.train.suggestion.holding_out import with_held_out
from normfield.train.suggestion.plan import plan_for
from normfield.train.suggestion.vertex import vertex

# Torch's own, at the first forward-mode derivative of a process.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

NET = nf.mlp(inputs=64, width=40, depth=3, outputs=10, gamma=0.5)
G = torch.Generator().manual_seed(4)
INPUTS = torch.randn(400, 6, generator=G) * torch.linspace(0.5, 2, 6)
LABELS = (INPUTS[:, :3].argmax(1) + (INPUTS[:, 3] > 1).long()) % 3
SMALL = nf.mlp(inputs=6, width=12, depth=3, outputs=3)


def suggested(build=SMALL, data=(INPUTS, LABELS), loss="squared", **changes):
    settings = {"batch_size": 16, "epochs": 5, **changes}
    return nf.suggest_learning_rate(build, data, loss, **settings)


@pytest.fixture(scope="module")
def found():
    return nf.suggest_learning_rate(NET, "digits", "squared", batch_size=64, epochs=8)


def test_the_parts_of_a_suggestion(found):
    assert found.status == "found"
    assert found.learning_rate == pytest.approx(10**found.log10)
    low, high = found.interval
    assert low < found.learning_rate < high
    assert math.log10(high / low) == pytest.approx(2 * found.half_width)
    assert 0.1 < found.half_width < 0.6
    assert found.full_steps == 8 * (1437 // 64)
    assert found.held_out == 256
    assert found.varies == "initial weights and data order"
    assert found.alone == ""
    assert found.caution is None
    assert {run.seed for run in found.runs} == {0, 1, 2}


def test_gradients_are_counted_and_stay_within_two_full_runs(found):
    taken = sum(len(run.losses) for run in found.runs)
    assert found.gradient_evaluations == taken + found.reference_gradients
    assert found.reference_gradients > 0
    assert found.gradient_evaluations <= 2 * found.full_run_evaluations


@pytest.mark.parametrize(
    ("steps", "effort", "restarts"), [(120, 1.0, 1), (120, 3.0, 3), (16, 2.0, 2), (30, 1.0, 4)]
)
def test_any_effort_is_kept_to(steps, effort, restarts):
    found = suggested(effort=effort, restarts=restarts, steps=steps)
    assert found.gradient_evaluations <= effort * found.full_steps
    assert found.learning_rate is not None


def test_the_suggested_rate_trains_nearly_as_well_as_the_best_of_a_grid(found):
    """Final test losses at the suggestion and on a grid, median of three seeds that the suggestion did not use."""
    xs = np.arange(found.log10 - 1.25, found.log10 + 1.0, 0.25)
    members = [nf.Member(10**x, seed=s) for x in [found.log10, *xs] for s in (7, 8, 9)]
    runs = nf.train_ensemble(NET, "digits", members, batch_size=64, epochs=8).runs
    losses = np.array([np.inf if run.test_loss is None else run.test_loss for run in runs]).reshape(-1, 3)
    medians = np.median(losses, axis=1)
    assert medians[0] <= 1.3 * medians[1:].min()
    assert np.isfinite(losses[0]).all()


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_a_linear_model_is_advised_below_its_limit_and_the_boundary_found_at_it(momentum):
    """Full-batch least squares: runs diverge above 2(1+μ)/λ_max, in long enough runs."""
    targets = torch.randn(400, 2, generator=torch.Generator().manual_seed(1))
    limit = 2 * (1 + momentum) / np.linalg.eigvalsh((INPUTS.T @ INPUTS / 400).double().numpy())[-1]
    found = suggested(
        lambda seed: nn.Linear(6, 2, bias=False),
        (INPUTS, targets),
        batch_size=None,
        steps=1200,
        momentum=momentum,
    )
    assert found.reference == pytest.approx(limit, rel=0.1)
    low, high = found.boundary_interval
    assert low < 1.1 * limit
    assert limit < high < limit * 10**0.3
    assert found.learning_rate <= high / 2 * (1 + 1e-9)
    assert found.held_out == 0


def test_never_above_half_of_a_rate_that_diverged(found):
    lowest = min(run.learning_rate for run in found.runs if run.status == "diverged")
    assert found.learning_rate <= lowest / 2 * (1 + 1e-9)
    assert found.boundary_interval[1] == lowest


@pytest.mark.parametrize("start", [3e-3, 60.0])
def test_a_bad_start_is_walked_away_from(found, start):
    again = nf.suggest_learning_rate(
        NET, "digits", "squared", batch_size=64, epochs=8, start=start, effort=4.0
    )
    assert again.reference == start
    assert again.log10 == pytest.approx(found.log10, abs=0.5)


def test_cross_entropy_is_scaled_to_the_full_run_and_squared_loss_is_not():
    entropy, squared = suggested(loss="cross_entropy"), suggested()
    steps = entropy.seen[-1].steps
    assert entropy.log10 == pytest.approx(
        entropy.seen[-1].log10 - 0.4 * math.log10(entropy.full_steps / steps)
    )
    assert "steps^−0.4" in entropy.scaling
    assert squared.log10 == pytest.approx(squared.seen[-1].log10, abs=1e-9) or squared.guarded
    assert "the same" in squared.scaling
    assert f"for {squared.full_steps:,} steps" in squared.scaling


def test_the_same_seed_gives_the_same_suggestion_and_another_seed_other_runs():
    one, two, other = suggested(), suggested(), suggested(seed=9)
    assert one.log10 == two.log10
    assert [run.losses for run in one.runs] == [run.losses for run in two.runs]
    assert one.runs[0].losses != other.runs[0].losses
    assert {run.seed for run in other.runs} == {9, 10, 11}


def test_nothing_given_is_changed():
    model = nf.build(SMALL, seed=0).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs, labels = INPUTS.clone(), LABELS.clone()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    found = suggested(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(inputs, INPUTS)
    assert torch.equal(labels, LABELS)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # noqa: NPY002
    assert found.varies == "data order only"


def test_test_data_are_not_looked_at():
    data = load((INPUTS, LABELS))
    poisoned = {
        "inputs": INPUTS,
        "targets": LABELS,
        "test_inputs": torch.full((50, 6), 1e6),
        "test_targets": LABELS[:50],
    }
    assert suggested(data=poisoned).log10 == suggested(data=data).log10


class Branching(nn.Module):
    """A forward that looks at values, which no ensemble can."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, inputs):
        outputs = self.layer(inputs)
        return outputs if outputs.sum() > 0 else outputs * 1.0


def test_models_that_cannot_be_vectorised_train_one_by_one():
    found = suggested(Branching(), epochs=4)
    assert found.status.startswith("found")
    assert "vmap" in found.alone
    assert "one by one" in str(found)


def test_one_by_one_and_together_agree(monkeypatch):
    together = suggested()

    def refusing(*_, **__):
        raise nf.InvalidInput(expected="less", got="more")

    monkeypatch.setattr("normfield.train.suggestion.trying.train_ensemble", refusing)
    alone = suggested()
    assert alone.alone == "expected less, got more"
    assert alone.log10 == pytest.approx(together.log10, abs=0.02)


def test_ctrl_c_gives_what_there_is():
    lines = []

    def interrupt(line):
        lines.append(line)
        raise KeyboardInterrupt

    found = suggested(progress=interrupt)
    assert found.status.startswith("interrupted: ")
    assert len(lines) == 1
    assert found.runs


def test_ctrl_c_in_the_closer_look_leaves_the_survey():
    lines = []

    def interrupt(line):
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    found = suggested(progress=interrupt)
    assert found.status.startswith("interrupted: found")
    assert found.learning_rate > 0


def test_a_budget_ends_it():
    began = time.monotonic()
    found = suggested(steps=10**6, budget=0.5)
    assert time.monotonic() - began < 8
    assert found.status == "budget spent: not found: no short run was made"
    assert found.learning_rate is None
    with pytest.raises(nf.InvalidInput, match="a suggestion with a learning rate"):
        found.sgd_kwargs()
    with pytest.raises(nf.InvalidInput, match="at least one finished run"):
        found.plot()
    assert json.loads(found.to_json())["learning_rate"] is None
    assert "budget spent" in json.loads(found.to_json())["reason"]
    assert "budget spent" in str(found)


def test_an_optimizer_as_suggested(found):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    optimizer = found.optimizer(model)
    (group,) = optimizer.param_groups
    assert group["lr"] == found.learning_rate
    assert group["momentum"] == 0.9
    assert group["params"] == list(model[1].parameters())
    assert found.sgd_kwargs() == {"lr": found.learning_rate, "momentum": 0.9}
    with pytest.raises(nf.InvalidInput, match="trainable parameters"):
        found.optimizer(nn.ReLU())


def test_tables_json_and_pictures(found):
    frame = found.to_frame()
    assert len(frame) == len(found.runs)
    assert {"learning_rate", "seed", "steps", "status", "test_loss"} <= set(frame)
    read = json.loads(found.to_json())
    for name in ("learning_rate", "log10", "half_width", "boundary", "reference", "full_steps", "held_out"):
        assert read[name] == getattr(found, name)
    assert len(read["runs"]) == len(found.runs)
    names = [trace.name for trace in found.plot().data]
    assert any("after" in str(name) for name in names)
    assert "Every short run" in found._repr_html_()
    text = str(found)
    assert f"η = {found.learning_rate:.3g}" in text
    assert f"{found.gradient_evaluations:,} gradients" in text
    assert found.verdict in text


def test_short_runs_shorter_than_the_momentum_remembers_are_said_so():
    assert "shorter than the 10 steps" in suggested(epochs=1).caution


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ({x: (x - 0.3) ** 2 - 7.0 for x in (-1.0, 0.0, 1.0)}, 0.3),
        ({x: math.exp((x - 0.1) ** 2) for x in (-0.5, 0.0, 0.25)}, 0.1),
        ({0.0: 1.0, 1.0: 2.0, 2.0: 3.0}, 0.0),
        ({0.0: 3.0, 1.0: 1.0, 2.0: math.inf}, 1.0),
        ({0.0: math.inf, 1.0: math.inf}, None),
        ({0.0: 1.0, 1.0: 1.0, 2.0: 1.0}, 0.0),
        ({0.0: 1.0 + 1e-9, 1.0: 1.0, 2.0: 9.0}, 0.5),
    ],
)
def test_the_lowest_point_of_a_parabola(losses, expected):
    assert vertex(losses) == (None if expected is None else pytest.approx(expected, abs=1e-6))


def _run(rate, status):
    return Run(rate, 0.9, 0, status, None, (), 1.0, None, None, None, 0, 0.0)


def test_the_edge_of_runs_that_do_not_part_cleanly():
    runs = [
        _run(0.1, "finished"),
        _run(1.0, "diverged"),
        _run(1.0, "finished"),
        _run(2.0, "finished"),
        _run(3.0, "diverged"),
    ]
    edge = edge_of(runs)
    assert (edge.low, edge.high) == (0.1, 1.0)
    assert edge.log10 == pytest.approx(-0.5)
    assert edge.half_width == pytest.approx(0.5)
    assert edge_of(runs[:1]).words == "nowhere up to η = 0.1, the largest tried"
    assert edge_of(runs[1:2]).words == "from below η = 1, the smallest tried"
    assert edge_of([]).words == "not known"


@pytest.mark.parametrize(
    ("samples", "batch", "held"),
    [
        (400, 16, 80),
        (400, 60, 60),
        (6000, 128, 1024),
        (100, 16, 0),
        (200, 190, 0),
        (400, None, 0),
        (165, 64, 33),
    ],
)
def test_held_out_samples_are_whole_batches_of_the_training_data(samples, batch, held):
    numbers = torch.arange(samples).float()[:, None]
    part, count = with_held_out(load((numbers, numbers)), batch)
    assert count == held
    left = part.inputs[:, 0].tolist()
    out = [] if part.test_inputs is None else part.test_inputs[:, 0].tolist()
    assert len(out) == held
    assert sorted(left + out) == list(range(samples))
    assert held == 0 or out != list(range(held))


def test_a_plan_fits_its_gradients():
    for steps in (16, 33, 124, 5000):
        for restarts in (1, 2, 4):
            plan = plan_for(steps, restarts, 2.0)
            assert 1 <= plan.survey_steps <= plan.look_steps <= steps
            assert 7 * plan.survey_steps + plan.look <= plan.allowed


REFUSED = {
    "words": ({"build": "mlp"}, "callable seed -> torch.nn.Module"),
    "no effort": ({"effort": 0.5}, "effort of at least 1, in full runs, got 0.5; try effort=2"),
    "no restarts": ({"restarts": 0}, "restarts as a whole number of at least 1, got 0"),
    "a start below zero": ({"start": -1.0}, "start finite and above 0"),
    "no budget": ({"budget": 0.0}, "budget finite and above 0"),
    "momentum": ({"momentum": 1.0}, "momentum at least 0 and below 1"),
    "no steps": ({"steps": 0}, "steps as a whole number of at least 1"),
    "too short a run": ({"steps": 15}, "a full run of at least 16 steps, got 15"),
    "a batch beyond the data": ({"batch_size": 401}, "batch_size of at most 400"),
    "a loss of no name": ({"loss": "hinge"}, 'loss as "squared"'),
    "data of another width": ({"data": (INPUTS[:, :2], LABELS)}, "2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line(name):
    changes, words = REFUSED[name]
    with pytest.raises(nf.InvalidInput) as caught:
        suggested(**changes)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
