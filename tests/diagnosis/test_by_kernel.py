"""The kernel answer: the kernel of the very batch that is measured, or why there is none."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import normfield as nf
from normfield.diagnosis.about_kernel import kernel_beside_measurement
from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.by_kernel import kernel_answer, one_batch, profile_in_time
from normfield.diagnosis.clock import Clock
from normfield.diagnosis.headline import limit, statement
from normfield.diagnosis.opening import cards
from normfield.diagnosis.subject import Subject
from normfield.diagnosis.trust import runner_up, trust

DIGITS = nf.load("digits", samples=256)
NET = nf.mlp(64, 100, 3, 10, gamma=0.5)


def asked(loss="squared", batch_size=64, **settings):
    return Asked(loss, batch_size, 0.9, 600.0, 1, **settings)


def answered(model=NET, data=DIGITS, question=None, budget=600.0):
    subject, question = Subject.of(model, data, 1), question or asked()
    return kernel_answer(subject, question, Clock.started(budget)), subject


def by_hand(net=NET, batch_size=64):
    x, _ = DIGITS.flattened().batches(batch_size, 1)[0]
    return nf.batch_kernel(net, x.double().numpy())


def test_it_is_the_kernel_of_the_first_measured_batch():
    answer, _ = answered()
    direct = by_hand()
    assert answer.status == "answered"
    assert answer.largest_eigenvalue == pytest.approx(direct.largest_eigenvalue, rel=1e-9)
    assert answer.max_learning_rate == pytest.approx(direct.max_learning_rate(0.9), rel=1e-9)
    assert "one batch of 64 (exact integrals)" in answer.assumes
    assert "the mean of several batches" in answer.assumes
    assert trust(answer).kind == "estimate"
    assert json.dumps(answer.as_dict())
    assert answer.as_dict()["method"] == "exact"


def test_it_predicts_what_is_measured_on_that_batch():
    net = nf.mlp(64, 1000, 3, 10, gamma=0.5)
    answer, subject = answered(net)
    batch = DIGITS.flattened().batches(64, 1)[0]
    measured = nf.curvature(subject.module, batch, top=10)
    assert answer.largest_eigenvalue == pytest.approx(measured.cluster_mean, rel=0.03)


def test_units_are_the_users_loss():
    half, _ = answered()
    mean, _ = answered(question=asked(nn.MSELoss()))
    assert mean.largest_eigenvalue == pytest.approx(half.largest_eigenvalue * 2 / 10)
    assert mean.max_learning_rate == pytest.approx(half.max_learning_rate * 10 / 2)


def test_cross_entropy_has_an_interval_over_networks():
    answer, _ = answered(question=asked("cross_entropy"))
    spread = by_hand().cross_entropy(seed=1)
    assert answer.largest_eigenvalue == pytest.approx(spread.mean, rel=1e-6)
    assert answer.interval == pytest.approx((3.8 / spread.high, 3.8 / spread.low), rel=1e-6)
    assert "interval is over networks" in answer.assumes


def test_all_of_the_data_in_one_batch_is_said_to_be_so():
    answer, _ = answered(question=asked(batch_size=256))
    assert "a batch of 256, all there is" in answer.assumes
    assert "several" not in answer.assumes


def test_a_module_that_flattens_images_has_the_kernel_of_its_features():
    module = nn.Sequential(nn.Flatten(), nf.build(NET, seed=1))
    answer, subject = answered(module)
    assert subject.network.input_shape == (1, 8, 8)
    assert one_batch(subject, asked()).positions == 1
    assert answer.largest_eigenvalue == pytest.approx(by_hand(subject_network(subject)).largest_eigenvalue)


def subject_network(subject):
    return nf.Network(
        (64,), subject.network.layers[1:], subject.network.weight_variance, subject.network.bias_variance
    )


class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.own = nn.Parameter(torch.ones(64, 10))

    def forward(self, x):
        return x.flatten(1) @ self.own


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("covers squared loss and cross-entropy", {"question": asked(nn.SmoothL1Loss())}),
        ("training mode", {"question": asked(statistics="frozen")}),
        ("", {"model": Mine()}),
        ("MaxPool", {"model": nf.Network((1, 8, 8), [nf.MaxPool(2), nf.Flatten(), nf.Dense(10)])}),
    ],
)
def test_what_it_does_not_cover_it_says(words, changes):
    answer, _ = answered(**changes)
    assert answer.status == "not covered"
    assert answer.reason
    assert words in answer.reason
    assert answer.max_learning_rate is None


def test_images_beyond_the_memory_are_refused_with_the_bytes():
    data = nf.load((torch.randn(128, 3, 32, 32), torch.randint(0, 10, (128,))))
    began = time.perf_counter()
    answer, _ = answered(nf.convnet((3, 32, 32), (8,), 10, stride=1, padding=1), data)
    assert answer.status == "cut"
    assert "1,024 positions of 64 samples would take" in answer.reason
    assert "GiB" in answer.reason
    assert time.perf_counter() - began < 20


def test_without_time_it_yields_at_once():
    answer, subject = answered(budget=1.0)
    assert answer.status == "cut"
    assert "give a larger budget" in answer.reason
    assert profile_in_time(subject, asked(), answer, Clock.started(600.0)) is None
    began = time.perf_counter()
    answered(budget=1.0)
    assert time.perf_counter() - began < 1.0


def test_the_profile_is_of_the_kernels_samples():
    answer, subject = answered()
    found = profile_in_time(subject, asked(), answer, Clock.started(600.0))
    x, y = DIGITS.flattened().batches(64, 1)[0]
    direct = nf.depth_profile(NET, x.double().numpy(), y.numpy())
    assert [layer.gradient for layer in found.layers] == pytest.approx(
        [layer.gradient for layer in direct.layers]
    )
    assert profile_in_time(subject, asked(), answer, Clock.started(1e-3)) is None
    softmax = profile_in_time(subject, asked("cross_entropy"), answer, Clock.started(600.0))
    assert softmax.loss == "cross_entropy"


def test_a_batch_without_variance_has_a_reason():
    data = nf.load((torch.ones(64, 64), torch.randint(0, 10, (64,))), standardise="none")
    answer, _ = answered(nf.mlp(64, 20, 3, 10, eps=0.0), data)
    assert answer.status == "not covered"
    assert "differ" in answer.reason


def test_without_a_measurement_it_is_the_limit():
    kernel, _ = answered()
    others = {name: Answer(name, "cut", reason="no time") for name in ("measured", "trained")}
    theory = Answer("theory", "answered", 2 * kernel.max_learning_rate, None, 1.0)
    answers = {"theory": theory, "kernel": kernel, **others}
    assert limit(answers, asked()) is kernel
    assert statement(answers, asked()).sentence.startswith("Up to about")
    assert "kernel" in statement(answers, asked()).note


def test_a_crowded_spectrum_is_only_a_bound():
    """At depth 10 the gradients' growth makes many directions as steep: finite width decides."""
    kernel, _ = answered(nf.mlp(64, 100, 10, 10))
    assert runner_up(kernel.detail) > 0.9
    assert trust(kernel).kind == "bound"
    assert "of the first: a finite width spreads" in kernel.assumes
    others = {name: Answer(name, "cut", reason="no time") for name in ("theory", "trained")}
    detail = SimpleNamespace(cluster_mean=5 * kernel.largest_eigenvalue, cluster_size=10, error=0.0)
    far = Answer("measured", "answered", kernel.max_learning_rate / 5, None, 1.0, detail=detail)
    answers = {**others, "kernel": kernel, "measured": far}
    assert limit({**answers, "measured": Answer("measured", "cut", reason="no time")}, asked()) is None
    told = kernel_beside_measurement(answers, asked())
    assert told.severity == "warning"
    assert "is 5.0 times the kernel's" in told.sentence
    assert cards({**answers}).cards[1].unit == "upper bound only: finite width lowers it"


def test_its_agreement_with_the_measurement_is_a_finding():
    kernel, subject = answered()
    found = nf.curvature(subject.module, DIGITS.flattened().batches(64, 1)[0], top=10)
    measured = Answer(
        "measured", "answered", found.max_learning_rate(0.9), None, found.largest_eigenvalue, detail=found
    )
    answers = {"kernel": kernel, "measured": measured}
    finding = kernel_beside_measurement(answers, asked())
    assert finding.value == pytest.approx(kernel.largest_eigenvalue / found.cluster_mean - 1)
    assert np.sign(abs(finding.value) - 0.1) == (1 if finding.severity == "warning" else -1)
    assert kernel_beside_measurement(answers, asked(statistics="frozen")) is None
    softmax, _ = answered(question=asked("cross_entropy"))
    told = kernel_beside_measurement({"kernel": softmax, "measured": measured}, asked("cross_entropy"))
    assert told.sentence.startswith("The kernel expects networks like this one between")
