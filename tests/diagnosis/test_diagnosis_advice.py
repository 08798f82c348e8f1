"""Advice with the effect that theory expects, against theory asked directly; signals beside theory's."""

import math

import numpy as np
import pytest

import normfield as nf
from normfield.diagnosis.about_depth import gradients_by_layer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.by_theory import theory_answer
from normfield.diagnosis.signals import expected, growth_inside, signals_of, trainable_depth
from normfield.diagnosis.subject import Subject
from normfield.measure.signals import layer_signals

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


def judged(network):
    """The finding on depth, without a clock in it."""
    subject, asked = Subject.of(network, FEW, 0), Asked("squared", 32, 0.9, 10.0, 0)
    signals = signals_of(subject, asked)
    return gradients_by_layer(subject, {"theory": theory_answer(subject, asked)}, signals), signals


def test_depth_is_judged_by_the_measured_growth_and_theorys():
    finding, signals = judged(nf.mlp(64, 100, 6, 10))
    assert finding.value == signals.gradient_growth.factor
    assert finding.sentence.startswith("Gradients grow")
    assert "1.21-fold per layer with this activation" in finding.sentence  # √(π/(π − 1))
    assert "about 42 layers" in finding.sentence  # 16/ln(π/(π − 1)) = 41.8 [Yang]
    assert "this one has 6" in finding.sentence
    steady, _ = judged(nf.mlp(64, 100, 6, 10, batch_norm=False))
    assert "By theory batch norm" not in steady.sentence


def test_the_depth_that_trains_is_yangs():
    assert trainable_depth(math.sqrt(1.46694)) == pytest.approx(41.8, abs=0.05)
    assert trainable_depth(1.0) == math.inf
    assert growth_inside(nf.mean_field(nf.mlp(64, 100, 6, 10))) == pytest.approx(math.sqrt(1.46694), rel=1e-4)
    assert growth_inside(nf.mean_field(nf.mlp(64, 100, 3, 10))) is None


def test_deep_growth_is_a_warning():
    finding, signals = judged(nf.mlp(64, 60, 30, 10))
    assert signals.layers[0].gradient > 100 * signals.layers[-2].gradient
    assert finding.severity == "warning"
    assert "skip connections" in finding.sentence


def test_theorys_signals_meet_those_of_a_wide_network_on_independent_inputs():
    """q within 5 % at width 1000; gradients anchored at the last hidden layer, growth within 10 % (seed 0)."""
    import torch

    network = nf.mlp(200, 1000, 5, 10)
    x = torch.randn(256, 200, generator=torch.Generator().manual_seed(0))
    y = torch.randn(256, 10, generator=torch.Generator().manual_seed(1))
    signals = layer_signals(nf.build(network, seed=0), (x, y))
    found = expected(nf.mean_field(network), signals)
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
    signals = layer_signals(nf.build(network, seed=0), (x, y))
    assert [layer.positions for layer in signals.layers] == [49, 9, 1]
    found = expected(nf.mean_field(network), signals)
    assert np.sqrt(signals.layers[0].mean_square) == pytest.approx(found.signal[0], rel=0.1)
    assert signals.layers[0].gradient == pytest.approx(found.gradient[0], rel=0.25)


def test_theory_of_another_number_of_layers_is_left_out():
    batch = FEW.flattened().batches(32, seed=0)[0]
    signals = layer_signals(nf.build(nf.mlp(64, 20, 4, 10), seed=0), batch)
    assert expected(nf.mean_field(nf.mlp(64, 20, 3, 10)), signals) is None
    assert expected(None, signals) is None


def test_the_signals_are_those_of_the_first_batch():
    _, signals = judged(nf.mlp(64, 100, 6, 10))
    batch = FEW.flattened().batches(32, seed=0)[0]
    assert layer_signals(nf.build(nf.mlp(64, 100, 6, 10), seed=0), batch) == signals
