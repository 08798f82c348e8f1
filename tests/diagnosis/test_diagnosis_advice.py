"""Advice with the effect that theory expects, against theory asked directly; signals beside theory's."""

import math

import numpy as np
import pytest
from torch import nn

import normfield as nf
from normfield.diagnosis.about_depth import gradients_by_layer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.by_kernel import one_batch
from normfield.diagnosis.signals import expected_by_kernel, expected_by_theory, growth_inside, signals_of
from normfield.diagnosis.subject import Subject
from normfield.measure.signals import signals as measured_signals
from normfield.report import format_number

FEW = nf.load("digits", samples=64)


def sentences(found, start):
    return [finding for finding in found.findings if start in finding.sentence]


@pytest.fixture(scope="module")
def normed():
    return nf.diagnose(nf.mlp(64, 100, 6, 10), FEW, budget=1.5, batch_size=32)


@pytest.fixture(scope="module")
def plain():
    return nf.diagnose(nf.mlp(64, 100, 4, 10, batch_norm=False), FEW, budget=1.5, batch_size=32)


def test_adding_batch_norm_is_advised_with_theorys_effect(plain, normed):
    (finding,) = sentences(plain, "There is no batch norm")
    with_it = {g: nf.mean_field(nf.mlp(64, 100, 4, 10, gamma=g)).max_learning_rate(0.9) for g in (1.0, 0.25)}
    assert finding.value == pytest.approx(with_it[1.0])
    without = nf.mean_field(nf.mlp(64, 100, 4, 10, batch_norm=False)).max_learning_rate(0.9)
    assert f"{float(f'{with_it[1.0] / without:.2g}'):g}-fold at γ = 1" in finding.sentence
    assert f"{float(f'{with_it[0.25] / without:.2g}'):g}-fold at γ = 0.25" in finding.sentence
    assert not sentences(normed, "There is no batch norm")


def test_a_larger_batch_is_advised_by_its_share_of_the_curvature(normed):
    (finding,) = sentences(normed, "A larger batch")
    network = nf.mlp(64, 100, 6, 10)
    few, many = (nf.mean_field(network, samples=m).largest_eigenvalue for m in (32, None))
    assert finding.value == pytest.approx(100 * (few / many - 1))


def judged(network, batch_size=32):
    """The finding on depth, without a clock in it."""
    subject, asked = Subject.of(network, FEW, 0), Asked("squared", batch_size, 0.9, 10.0, 0)
    batch, signals = one_batch(subject, asked), signals_of(subject, asked)
    profile = nf.depth_profile(batch.network, batch.inputs, batch.targets)
    return gradients_by_layer(subject, asked, signals, profile), signals, profile


def test_depth_is_judged_by_the_measured_growth_beside_the_kernels():
    finding, signals, profile = judged(nf.mlp(64, 100, 6, 10))
    assert finding.value == signals.gradient_growth.factor
    assert finding.sentence.startswith("Gradients grow")
    assert f"(the kernel of this batch: {profile.gradient_growth.factor:.3g})" in finding.sentence
    limits = nf.depth_limits("relu", 32, eps=1e-5)
    assert f"squared gradients grow {limits.explosion_rate:.3g}-fold" in finding.sentence
    assert "about 38 such layers are the limit" in finding.sentence  # 16/ln 1.52195 [Yang]
    assert "this network has 6." in finding.sentence
    assert "What removes it" not in finding.sentence
    steady, _, _ = judged(nf.mlp(64, 100, 6, 10, batch_norm=False))
    assert "Yang" not in steady.sentence


def test_without_a_measurement_the_kernel_alone_judges():
    _, _, profile = judged(nf.mlp(64, 100, 6, 10))
    subject, asked = Subject.of(nf.mlp(64, 100, 6, 10), FEW, 0), Asked("squared", 32, 0.9, 10.0, 0)
    finding = gradients_by_layer(subject, asked, None, profile)
    assert finding.value == profile.gradient_growth.factor
    assert "by the kernel of this batch" in finding.sentence
    assert gradients_by_layer(subject, asked, None, None) is None


def test_a_network_near_its_limit_is_told_what_removes_the_growth():
    finding, signals, _ = judged(nf.mlp(64, 60, 30, 10))
    assert signals.layers[1].gradient > 100 * signals.layers[-2].gradient
    assert finding.severity == "warning"
    gentle = nf.depth_limits("tanh", 32, 0.3)
    deepest = format_number(gentle.trainable_depth, 2)
    assert f"tanh with γ = 0.3 ({gentle.explosion_rate:.3g}-fold, about {deepest} layers)" in finding.sentence
    exponent = nf.depth_limits("relu", 32, eps=1e-5).residual_exponent
    assert f"depth to the power {exponent:.3g}" in finding.sentence
    assert "skip connections" in finding.sentence


def test_growth_inside_is_theorys_at_infinite_batches():
    assert growth_inside(nf.mean_field(nf.mlp(64, 100, 6, 10))) == pytest.approx(math.sqrt(1.46694), rel=1e-4)
    assert growth_inside(nf.mean_field(nf.mlp(64, 100, 3, 10))) is None


def test_the_kernels_signals_stand_beside_the_measured_in_units_of_the_loss():
    _, signals, profile = judged(nf.mlp(64, 100, 6, 10))
    half = expected_by_kernel(profile, signals, Asked("squared", 32, 0.9, 10.0, 0))
    mean = expected_by_kernel(profile, signals, Asked(nn.MSELoss(), 32, 0.9, 10.0, 0))
    assert mean.gradient == pytest.approx(half.gradient / 5)  # 2/C
    assert half.gradient[1:-1] == pytest.approx([each.gradient for each in signals.layers[1:-1]], rel=0.25)
    assert half.correlation == [layer.correlation for layer in profile.layers]
    other = nf.depth_profile(nf.mlp(64, 90, 6, 10), FEW.inputs.flatten(1)[:32].double().numpy())
    assert expected_by_kernel(other, signals, Asked("squared", 32, 0.9, 10.0, 0)) is None


def test_theorys_signals_meet_those_of_a_wide_network_on_independent_inputs():
    """q within 5 % at width 1000; gradients anchored at the last hidden layer, growth within 10 % (seed 0)."""
    import torch

    network = nf.mlp(200, 1000, 5, 10)
    x = torch.randn(256, 200, generator=torch.Generator().manual_seed(0))
    y = torch.randn(256, 10, generator=torch.Generator().manual_seed(1))
    signals = measured_signals(nf.build(network, seed=0), (x, y))
    found = expected_by_theory(nf.mean_field(network), signals)
    measured = np.sqrt([layer.mean_square for layer in signals.layers])
    assert measured[:-1] == pytest.approx(found.signal[:-1], rel=0.05)
    gradient = [layer.gradient for layer in signals.layers]
    assert found.gradient[-2] == pytest.approx(gradient[-2])
    assert gradient[1:-1] == pytest.approx(found.gradient[1:-1], rel=0.1)


def test_a_convolutions_positions_count_in_its_gradient():
    import torch

    network = nf.convnet((1, 16, 16), (60, 60), 10)
    x = torch.randn(128, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    y = torch.randn(128, 10, generator=torch.Generator().manual_seed(1))
    signals = measured_signals(nf.build(network, seed=0), (x, y))
    assert [layer.positions for layer in signals.layers] == [49, 9, 1]
    found = expected_by_theory(nf.mean_field(network), signals)
    assert np.sqrt(signals.layers[0].mean_square) == pytest.approx(found.signal[0], rel=0.1)
    assert signals.layers[0].gradient == pytest.approx(found.gradient[0], rel=0.25)


def test_theory_of_another_number_of_layers_is_left_out():
    batch = FEW.flattened().batches(32, seed=0)[0]
    signals = measured_signals(nf.build(nf.mlp(64, 20, 4, 10), seed=0), batch)
    assert expected_by_theory(nf.mean_field(nf.mlp(64, 20, 3, 10)), signals) is None
    assert expected_by_theory(None, signals) is None


def test_the_signals_are_those_of_the_first_batch():
    _, signals, _ = judged(nf.mlp(64, 100, 6, 10))
    batch = FEW.flattened().batches(32, seed=0)[0]
    assert measured_signals(nf.build(nf.mlp(64, 100, 6, 10), seed=0), batch) == signals
