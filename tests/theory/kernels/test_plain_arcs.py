"""A homogeneous activation without batch norm, block by block, against the arc-cosine kernels pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest

from normfield.network import ACTIVATIONS
from normfield.theory.kernels.layer.gaussian_pairs import plain_moments
from normfield.theory.kernels.layer.moments import LayerMoments
from normfield.theory.kernels.layer.plain_arcs import arc_moments

RELU, LEAKY, ABSOLUTE = (0.5, 0.5), (0.55, 0.45), (0.0, 1.0)


def _moments(x: np.ndarray, coefficients: tuple[float, float], ntk: np.ndarray | None = None) -> LayerMoments:
    covariance = x @ x.T
    return arc_moments(covariance, ntk, np.sqrt(np.diag(covariance)), *coefficients)


def _by_angles(x: np.ndarray, coefficients: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """E[φφ] and E[φ′φ′] from the angle θ between two samples [Cho & Saul, NeurIPS 2009], |x| = 2 relu(x) − x."""
    c1, c2 = coefficients
    lengths = np.linalg.norm(x, axis=1)
    second, slopes = (np.empty((len(x), len(x))) for _ in range(2))
    for i, left in enumerate(x):
        for j, right in enumerate(x):
            unit = left / lengths[i], right / lengths[j]
            theta = 2 * math.atan2(np.linalg.norm(unit[0] - unit[1]), np.linalg.norm(unit[0] + unit[1]))
            relu = (math.sin(theta) + (math.pi - theta) * math.cos(theta)) / (2 * math.pi)
            step = (math.pi - theta) / (2 * math.pi)
            cosine = math.cos(theta)
            absolute = 4 * relu - cosine
            second[i, j] = lengths[i] * lengths[j] * (c1**2 * cosine + c2**2 * absolute)
            slopes[i, j] = c1**2 + c2**2 * (4 * step - 1)
    return second, slopes


@pytest.mark.parametrize("samples", [1, 5, 32, 33, 80])
@pytest.mark.parametrize("coefficients", [RELU, LEAKY, ABSOLUTE])
def test_moments_by_angles(samples: int, coefficients: tuple[float, float]) -> None:
    generator = np.random.default_rng(samples)
    x = generator.standard_normal((samples, 6)) * generator.uniform(0.1, 10, (samples, 1))
    root = generator.standard_normal((samples, samples))
    found = _moments(x, coefficients, root @ root.T)
    second, slopes = _by_angles(x, coefficients)
    np.testing.assert_allclose(found.second, second, rtol=0, atol=1e-13 * np.abs(second).max())
    np.testing.assert_allclose(found.by_shift, slopes, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.pulled, slopes * (root @ root.T), rtol=0, atol=1e-11 * samples)
    np.testing.assert_allclose(
        found.mean, coefficients[1] * np.linalg.norm(x, axis=1) * math.sqrt(2 / math.pi)
    )
    for matrix in (found.second, found.by_shift, found.pulled):
        assert np.array_equal(matrix, matrix.T)


def test_coinciding_and_opposite_samples_have_exact_slopes() -> None:
    """√round-off of an arc cosine at ±1 would be 1e-8."""
    x = np.random.default_rng(1).standard_normal((50, 7))
    x[40], x[41] = x[3] * 3.7, -x[3] / 3
    found = _moments(x, RELU)
    assert found.by_shift[3, 40] == found.by_shift[40, 3] == pytest.approx(0.5, abs=1e-15)
    assert found.by_shift[3, 41] == found.by_shift[41, 40] == pytest.approx(0, abs=1e-15)
    assert np.diag(found.by_shift) == pytest.approx(0.5, abs=1e-15)
    assert found.pulled is None


def test_samples_near_each_other_keep_their_angle() -> None:
    """θ = 1e-6, whose square is far above round-off."""
    x = np.array([[1.0, 0.0], [math.cos(1e-6), math.sin(1e-6)]])
    assert _moments(x, RELU).by_shift[0, 1] == pytest.approx(0.5 - 1e-6 / (2 * math.pi), abs=1e-10)


def test_a_sample_without_variance_changes_nothing_for_the_others() -> None:
    x = np.random.default_rng(2).standard_normal((40, 5))
    covariance = x @ x.T
    wider = np.zeros((41, 41))
    wider[:40, :40] = covariance
    phi = ACTIVATIONS["relu"]
    alone, beside = plain_moments(covariance, covariance, phi), plain_moments(wider, wider, phi)
    for name in ("second", "pulled", "by_shift"):
        np.testing.assert_allclose(getattr(beside, name)[:40, :40], getattr(alone, name), rtol=0, atol=1e-13)
