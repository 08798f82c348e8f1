"""Networks for images: counts of parameters by hand, outputs written out layer by layer, seeds."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from normfield.studies.architectures import preact_resnet18, residual_network, vgg16
from normfield.studies.architectures.preact_resnet import PreActivationBlock
from normfield.studies.architectures.residual import ResidualBlock

MAKERS = {
    "vgg": lambda seed: vgg16(2, 10, seed),
    "preact": lambda seed: preact_resnet18(2, 10, seed),
    "residual": lambda seed: residual_network(2, 1, 10, seed, batch_norm=True),
}


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_vgg16_at_the_papers_width_has_its_parameters():
    widths = [3, 64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    convolutions = sum(9 * a * b for a, b in itertools.pairwise(widths))
    assert count(vgg16(64, 10, 0)) == convolutions + 2 * sum(widths[1:]) + 513 * 10 == 14_724_042


def test_preact_resnet18_at_the_papers_width_has_its_parameters():
    """11,171,146 as it is often written for CIFAR-10, without the last batch norm's 2·512."""
    model = preact_resnet18(64, 10, 0)
    assert count(model) == 11_171_146 + 2 * 512
    assert (
        sum(isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3) for layer in model.modules())
        == 17
    )


def test_resnet110_has_its_layers_and_parameters():
    model = residual_network(16, 18, 10, 0, batch_norm=True)
    convolutions = [layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) + 1 == 110
    assert count(model) == pytest.approx(1.7e6, rel=0.02)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_seeds_decide_the_weights_alone(make):
    before = torch.random.get_rng_state()
    one, same, other = make(0), make(0), make(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    ours = [parameter for parameter in one.parameters() if parameter.ndim == 4]
    theirs, others = ([p for p in model.parameters() if p.ndim == 4] for model in (same, other))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(ours, others, strict=True))
    assert one(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_parameter_matters(make):
    model = make(0)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model(images).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def norm(x):
    """Batch norm at γ = 1, β = 0 by its definition."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(variance + 1e-5)


@pytest.mark.parametrize(("before", "after", "stride"), [(4, 4, 1), (4, 8, 2)])
def test_a_preactivation_block_written_out(before, after, stride):
    block = PreActivationBlock(before, after, stride)
    x = torch.randn(6, before, 8, 8, generator=torch.Generator().manual_seed(0))
    h = norm(x).clamp(min=0)
    out = F.conv2d(h, block.conv1.weight, stride=stride, padding=1)
    out = F.conv2d(norm(out).clamp(min=0), block.conv2.weight, padding=1)
    kept = x if block.shortcut is None else F.conv2d(h, block.shortcut.weight, stride=stride)
    assert torch.allclose(block(x), kept + out, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(("before", "after"), [(4, 4), (4, 8)])
def test_a_residual_block_written_out(before, after, batch_norm):
    block = ResidualBlock(before, after, batch_norm)
    x = torch.randn(6, before, 8, 8, generator=torch.Generator().manual_seed(0))
    stride, maybe = (1, 2)[after > before], norm if batch_norm else (lambda h: h)
    out = maybe(F.conv2d(x, block.conv1.weight, stride=stride, padding=1)).clamp(min=0)
    out = maybe(F.conv2d(out, block.conv2.weight, padding=1))
    kept = torch.zeros_like(out)
    kept[:, :before] = x[:, :, ::stride, ::stride]
    assert torch.allclose(block(x), (kept + out).clamp(min=0), atol=1e-5)


def test_the_same_weights_with_batch_norm_and_without():
    normed, plain = (residual_network(4, 2, 10, 3, batch_norm=both) for both in (True, False))
    weights = [
        [layer.weight for layer in model.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
        for model in (normed, plain)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in normed.modules())
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in plain.modules())


def test_initial_weights_have_the_variance_that_is_said():
    model = residual_network(32, 1, 10, 0, batch_norm=False)
    layer = [layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    assert layer.weight.var().item() == pytest.approx(2 / (9 * (128 + 128)), rel=0.02)
