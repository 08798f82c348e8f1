"""Budgets hold on models that are slow by construction, and Ctrl-C keeps what was found."""

import time

import pytest
import torch
from torch import nn

import normfield as nf

SLOW_PER_SAMPLE = 0.4e-3


class Slow(nn.Module):
    """A small network whose forward pass takes 0.4 ms for each sample, whatever the machine does."""

    def __init__(self, features=64, per_sample=SLOW_PER_SAMPLE):
        super().__init__()
        self.per_sample = per_sample
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(features, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 10)
        )

    def forward(self, x):
        if isinstance(x, torch.Tensor):  # and not what stands for it while the module is described
            time.sleep(self.per_sample * len(x))
        return self.body(x)


@pytest.fixture(scope="module", autouse=True)
def warm():
    """What is loaded and compiled at first use is not what the tests time."""
    nf.diagnose(Slow(per_sample=0.0), nf.load("digits", samples=32), budget=20)


def diagnosed(budget, model=None, **settings):
    began = time.monotonic()
    found = nf.diagnose(Slow() if model is None else model, "digits", budget=budget, **settings)
    return found, time.monotonic() - began


@pytest.mark.parametrize("budget", [0.5, 3.0, 8.0])
def test_the_budget_holds_and_what_is_cut_is_said(budget):
    found, wall = diagnosed(budget)
    assert wall <= 1.1 * budget + 1.0
    for name in ("measured", "trained"):
        answer = found.answers[name]
        assert answer.status in ("answered", "cut")
        if answer.status == "cut":
            assert "budget" in answer.reason
        else:
            assert answer.cut  # 8 batches and 240 steps fit in none of these budgets
            assert f"Cut: {answer.cut}." in answer.assumes
            assert found.to_frame().loc[name, "cut"] == answer.cut
            rows = {row[0]: row for row in found.table().rows}
            assert answer.cut in rows[name][-1]


def test_more_time_gives_more():
    fast = Slow(per_sample=5e-5)  # twenty seconds are then ten times what a short search takes
    short, long = diagnosed(0.2, fast)[0], diagnosed(20.0, fast)[0]
    assert short.answers["trained"].status == "cut"
    assert long.answers["measured"].max_learning_rate > 0
    assert long.answers["trained"].status == "answered"


def test_batches_shrink_only_where_nobody_asked_for_a_size():
    free, fixed = diagnosed(4.0)[0], diagnosed(4.0, batch_size=128)[0]
    assert free.asked.batch_size == 32
    assert "batches of 32 instead of 128 (a gradient there takes about" in free.answers["measured"].cut
    assert fixed.asked.batch_size == 128
    assert not any("instead of 128" in answer.cut for answer in fixed.answers.values())


def test_what_was_found_before_the_budget_ended_is_an_answer_with_its_error():
    found = diagnosed(6.0, batch_size=128)[0].answers["measured"]
    whole = nf.curvature(
        Slow(per_sample=0.0), nf.load("digits").batches(128, 0)[0], "squared", tolerance=1e-4
    )
    assert found.status == "answered"
    assert found.max_learning_rate == pytest.approx(whole.max_learning_rate(0.9), rel=0.7)


def test_no_step_fits_at_all():
    found, wall = diagnosed(0.3, Slow(per_sample=0.2))  # 1.6 s for the smallest batch
    assert wall < 10  # a look at the model takes some passes of 8 samples
    assert found.answers["measured"].status == found.answers["trained"].status == "cut"
    assert str(found)


class Interrupted:
    """Progress that presses Ctrl-C when a line says so."""

    def __init__(self, word):
        self.word = word

    def __call__(self, line):
        if self.word in line:
            raise KeyboardInterrupt


STOPS = {
    "theory": ("stopped", "stopped", "stopped"),
    "timing": ("answered", "stopped", "stopped"),
    "measuring": ("answered", "stopped", "stopped"),
    "training": ("answered", "answered", "stopped"),
    "η": ("answered", "answered", "stopped"),
}


@pytest.mark.parametrize("word", STOPS)
def test_ctrl_c_keeps_what_was_found(word, tmp_path):
    few = nf.load("digits", samples=64)
    found = nf.diagnose(nf.mlp(64, 20, 2, 10), few, budget=20, progress=Interrupted(word))
    assert tuple(found.answers[n].status for n in ("theory", "measured", "trained")) == STOPS[word]
    assert found.answers["trained"].reason
    assert found.to_html(tmp_path / "report.html").exists()
    assert "stopped" in str(found)
