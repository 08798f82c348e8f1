"""Findings on batch norm's health: none on healthy networks, and the right number on each that was made ill."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import normfield as nf
from normfield.diagnosis.about_asked_rate import decay_of_invariant_weights, rate_above_limit
from normfield.diagnosis.about_channels import dead_channels, variance_near_epsilon
from normfield.diagnosis.about_statistics import batch_too_small, running_statistics
from normfield.diagnosis.answer import NAMES, Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.health import health_of, health_steps
from normfield.diagnosis.signals import signals_of
from normfield.diagnosis.subject import Subject
from normfield.report import format_number

DIGITS = nf.load("digits").flattened()
ASKED = Asked("cross_entropy", 64, 0.9, 10.0, 0)


def made() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 50),
        nn.BatchNorm1d(50),
        nn.ReLU(),
        nn.Linear(50, 40),
        nn.BatchNorm1d(40),
        nn.ReLU(),
        nn.Linear(40, 10),
    )


def trained(model: nn.Module, learning_rate: float = 0.05, epochs: int = 3) -> nn.Module:
    optimizer = torch.optim.SGD(model.parameters(), learning_rate, momentum=0.9)
    for epoch in range(epochs):
        for x, y in DIGITS.batches(64, seed=epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model


@pytest.fixture(scope="module")
def after_training():
    """State of a network that trained well."""
    return trained(made()).state_dict()


def findings(model, asked=ASKED, data=DIGITS):
    """By name, those that there are."""
    subject = Subject.of(model, data, 0)
    signals, health = signals_of(subject, asked), health_of(subject, asked)
    found = {
        "running": running_statistics(health),
        "dead": dead_channels(subject, signals, health),
        "variance": variance_near_epsilon(health),
        "small": batch_too_small(asked, health),
        "decay": decay_of_invariant_weights(asked, health),
    }
    return {name: finding for name, finding in found.items() if finding is not None}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(made, id="fresh"),
        pytest.param(lambda: nf.mlp(64, 100, 6, 10), id="described"),
        pytest.param(lambda: nf.mlp(64, 100, 4, 10, batch_norm=False), id="without batch norm"),
        pytest.param(lambda: nn.DataParallel(made()), id="wrapped"),
    ],
)
def test_a_healthy_network_has_none(model):
    assert findings(model()) == {}


@pytest.mark.parametrize("training", [True, False])
def test_nor_has_one_that_trained(after_training, training):
    model = made().train(training)
    model.load_state_dict(after_training)
    health = health_of(Subject.of(model, DIGITS, 0), ASKED)
    assert health.drift is not None
    assert findings(model) == {}


@pytest.mark.long
def test_the_whole_diagnosis_of_a_healthy_one_warns_of_nothing_in_it(after_training):
    model = made()
    model.load_state_dict(after_training)
    found = nf.diagnose(model, DIGITS, "cross_entropy", batch_size=64, budget=30.0)
    words = (
        "Running statistics",
        "are dead",
        "a variance below",
        "are small for",
        "one value",
        "Weight decay",
    )
    assert found.health is not None
    assert found.health.drift is not None
    assert not [f.sentence for f in found.findings if any(word in f.sentence for word in words)]


def test_variances_near_epsilon():
    model = made()
    with torch.no_grad():
        model[3].weight[:10] *= 1e-3  # a quarter of the channels
        inputs = [copy.deepcopy(model[:4])(x) for x, _ in list(DIGITS.batches(64, seed=0))[:8]]
    (finding,) = findings(model).values()
    variance = np.median(torch.cat(inputs)[:, :10].double().var(0).numpy())
    assert finding.sentence.startswith("At 4, 10 of 40 channels have a variance below 10 ε")
    assert finding.value == pytest.approx(variance / 1e-5, rel=1e-4)
    assert 0 < finding.value < 10
    model[4].eps = 1e-12
    assert findings(model) == {}


def test_units_that_no_gradient_passes():
    model = made()
    with torch.no_grad():
        model[1].bias[:20] = -100.0
    (finding,) = findings(model).values()
    assert finding.sentence.startswith("At 0, 20 of 50 units are dead")
    assert finding.value == pytest.approx(0.4)
    assert (finding.severity, "'0'" in finding.unit or "at 0" in finding.unit) == ("warning", True)


def test_channels_with_one_value():
    model = made()
    with torch.no_grad():
        model[0].weight[:25] = 0.0
        model[0].bias[:25] = 0.3
    found = findings(model)
    assert found["dead"].sentence.startswith("At 1, 25 of 50 channels have one value for all 512 inputs")
    assert found["dead"].value == pytest.approx(0.5)
    assert list(found) == ["dead"]


class Branch(nn.Module):
    """A residual block that starts closed, as zero-initialised γ make it."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64))
        self.last, self.head = nn.BatchNorm1d(64), nn.Linear(64, 10)
        nn.init.zeros_(self.last.weight)

    def forward(self, x):
        return self.head(x + self.last(self.branch(x)))


def test_a_branch_that_starts_closed_is_not_dead():
    assert findings(Branch()) == {}


@pytest.mark.parametrize("size", [4, 6, 8])
def test_batches_too_small_for_their_statistics(size):
    """The number of independent values that the spread speaks of is that of the samples, within a quarter."""
    (finding,) = findings(made(), replace(ASKED, batch_size=size)).values()
    assert finding.sentence.startswith(f"Batches of {size} are small")
    assert 1 / (2 * (finding.value / 100) ** 2) == pytest.approx(size, rel=0.25)


def test_running_statistics_far_from_exact(after_training):
    model = made()
    model.load_state_dict(after_training)
    with torch.no_grad():
        model[4].running_var *= 9.0
    (finding,) = findings(model).values()
    assert finding.sentence.startswith("Running statistics are far from exact at 4")
    assert finding.value == pytest.approx(9, rel=0.1)
    batches = list(DIGITS.batches(64, seed=0))[:8]
    with torch.no_grad():
        parts = [nn.functional.cross_entropy(copy.deepcopy(model).eval()(x), y) for x, y in batches]
    assert f"the loss is {format_number(float(torch.stack(parts).mean()))} with them" in finding.sentence
    with torch.no_grad():
        model[1].running_mean += 3 * model[1].running_var.sqrt()
    (finding,) = findings(model).values()
    assert "at 1:" in finding.sentence
    assert finding.value == pytest.approx(3, rel=0.1)
    nf.recalibrate_(model, DIGITS.batches(64, seed=0))
    assert findings(model) == {}


def test_running_statistics_that_were_written_a_few_times():
    model = made()
    for x, _ in list(DIGITS.batches(64, seed=3))[:2]:
        model(x)
    (finding,) = findings(model).values()
    assert "written 2 times only" in finding.sentence


def answers(**rates):
    """With a rate each, or without an answer."""
    return {
        name: Answer(name, "answered", max_learning_rate=rates[name])
        if name in rates
        else Answer.without(name, "cut", "no time")
        for name in NAMES
    }


def test_a_learning_rate_above_the_limit():
    squared = replace(ASKED, loss="squared")
    assert rate_above_limit(ASKED, answers(measured=0.1)) is None
    assert rate_above_limit(replace(squared, learning_rate=0.09), answers(measured=0.1)) is None
    above = rate_above_limit(replace(squared, learning_rate=0.3), answers(measured=0.1, theory=5.0))
    assert (above.severity, above.value) == ("warning", pytest.approx(3.0))
    assert "0.3 is 3.00 times the limit 0.1 of stable first steps (measured)" in above.sentence
    survived = replace(squared, learning_rate=0.3)
    assert rate_above_limit(survived, answers(measured=0.1, trained=0.5)) is None
    diverged = rate_above_limit(survived, answers(measured=1.0, trained=0.2))
    assert (diverged.severity, diverged.value) == ("problem", pytest.approx(1.5))
    softmax = rate_above_limit(replace(ASKED, learning_rate=0.3), answers(measured=0.1))
    assert softmax.severity == "note"
    assert "often survive" in softmax.sentence


def test_weight_decay_of_weights_whose_length_does_not_matter():
    (finding,) = findings(made(), replace(ASKED, weight_decay=5e-4, learning_rate=0.1)).values()
    assert "does not regularise 2 of the 3 weights, such as 0.weight" in finding.sentence
    assert finding.value == pytest.approx(0.1 / (2 * 0.1 * 5e-4))
    (finding,) = findings(made(), replace(ASKED, weight_decay=5e-4)).values()
    assert finding.value == 2
    plain = nn.Sequential(nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))
    assert findings(plain, replace(ASKED, weight_decay=5e-4)) == {}


def test_the_length_balances_on_the_time_scale_that_is_said():
    """A scale-invariant loss under SGD with decay: the squared length's distance from its end falls by e in 1/(2ηλ)."""
    rate, decay, squared = 0.1, 0.01, [1.0]
    noise = np.random.default_rng(0)
    w = np.array([1.0, 0.0])
    steps = round(1 / (2 * rate * decay))
    for _ in range(20 * steps):
        tangent = np.array([-w[1], w[0]]) / np.linalg.norm(w)
        w = w - rate * (noise.choice([-1, 1]) * tangent / np.linalg.norm(w) + decay * w)
        squared.append(float(w @ w))
    fourth = np.square(squared)  # ‖W‖⁴ follows a linear law, twice as fast
    end = fourth[-5 * steps :].mean()
    assert (fourth[steps] - end) / (fourth[0] - end) == pytest.approx(math.exp(-2), rel=0.1)


def test_a_look_costs_what_is_said_and_leaves_the_module_as_it_is(after_training):
    model = made()
    model.load_state_dict(after_training)
    before = copy.deepcopy(model.state_dict())
    subject = Subject.of(model, DIGITS, 0)
    assert health_steps(subject, ASKED) == 8 * 6
    assert health_steps(Subject.of(made(), DIGITS, 0), ASKED) == 8
    plain = Subject.of(nn.Linear(64, 10), DIGITS, 0)
    assert health_steps(plain, ASKED) == 0
    assert health_steps(plain, replace(ASKED, weight_decay=0.1)) == 2
    health_of(subject, ASKED)
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


def test_what_is_meant_to_be_trained_with_is_checked_and_repeated():
    with pytest.raises(nf.InvalidInput, match="learning_rate above 0"):
        nf.diagnose(made(), DIGITS, learning_rate=0.0)
    with pytest.raises(nf.InvalidInput, match="weight_decay of at least 0"):
        nf.diagnose(made(), DIGITS, weight_decay=-1.0)
    found = nf.diagnose(made(), DIGITS, batch_size=64, budget=1.0, learning_rate=50.0, weight_decay=1e-4)
    assert any("A learning rate of 50 is" in finding.sentence for finding in found.findings)
