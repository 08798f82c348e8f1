"""Kernels between positions against the same layers applied to explicit images, whose products the kernels are."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from normfield.theory.kernels.walk.positions import (
    Windows,
    averaged,
    averaged_vector,
    convolved,
    everywhere,
    same_place,
)

SAMPLES, CHANNELS, SIZE = 3, 5, (6, 7)


@pytest.fixture
def images():
    return torch.randn(
        SAMPLES, CHANNELS, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


def rows(images):
    """One row for each sample and position, (n, channels)."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1]).numpy()


def kernel(images):
    return rows(images) @ rows(images).T


@pytest.mark.parametrize(
    ("window", "stride", "padding"), [(3, 1, 0), (3, 1, 1), (2, 2, 0), (5, 3, 2), (1, 2, 0)]
)
def test_a_convolution_takes_patches(images, window, stride, padding):
    patches = F.unfold(images, window, padding=padding, stride=stride)  # (B, channels·|F|, positions)
    flat = patches.permute(0, 2, 1).reshape(-1, patches.shape[1]).numpy()
    along = (window, stride, padding)
    found = convolved(kernel(images), SAMPLES, SIZE, Windows(along, along))
    np.testing.assert_allclose(found, flat @ flat.T / window**2, rtol=1e-12, atol=1e-12)


def test_a_window_may_be_oblong(images):
    patches = F.unfold(images, (3, 2), padding=(1, 0), stride=(2, 1))
    flat = patches.permute(0, 2, 1).reshape(-1, patches.shape[1]).numpy()
    found = convolved(kernel(images), SAMPLES, SIZE, Windows((3, 2, 1), (2, 1, 0)))
    np.testing.assert_allclose(found, flat @ flat.T / 6, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("window", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 0)])
def test_an_average_mixes_positions(images, window, stride, padding):
    pooled = F.avg_pool2d(images, window, stride, padding)
    along = (window, stride, padding)
    found = averaged(kernel(images), SAMPLES, SIZE, Windows(along, along))
    np.testing.assert_allclose(found, kernel(pooled), rtol=1e-12, atol=1e-12)
    means = averaged_vector(rows(images).mean(1), SAMPLES, SIZE, Windows(along, along))
    np.testing.assert_allclose(means, rows(pooled).mean(1), rtol=1e-12, atol=1e-12)


def test_the_global_average(images):
    means = images.mean((2, 3)).numpy()
    found = averaged(kernel(images), SAMPLES, SIZE, everywhere(SIZE))
    np.testing.assert_allclose(found, means @ means.T, rtol=1e-12, atol=1e-12)


def test_flattening_keeps_equal_positions(images):
    flat = images.flatten(1).numpy()
    found = same_place(kernel(images), SAMPLES, SIZE) * SIZE[0] * SIZE[1]
    np.testing.assert_allclose(found, flat @ flat.T, rtol=1e-12, atol=1e-12)
