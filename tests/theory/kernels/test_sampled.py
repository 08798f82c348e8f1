"""Monte Carlo moments against the exact kernel and the definitions, and their standard errors."""

import math
import tracemalloc

import numpy as np
import pytest

from normfield.errors import InvalidInput
from normfield.network import ACTIVATIONS
from normfield.theory import ops
from normfield.theory.gaussian import derivative
from normfield.theory.kernels.layer.homogeneous import homogeneous_moments
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.layer.sampled import sampled_moments

B = 10


def batch(kind, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((B, B))
    if kind == "low rank":
        x = x[:, :5]
    if kind == "ill conditioned":
        x = x * 3.0 ** -np.arange(B)
    if kind == "twins":
        x[4] = x[1]
    t = rng.standard_normal((B, B))
    return x @ x.T + 0.3, t @ t.T


@pytest.mark.parametrize("kind", ["full", "low rank", "ill conditioned", "twins"])
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs"])
def test_moments_are_within_standard_errors_of_the_exact_kernel(kind, name):
    K, T = batch(kind)
    norm, phi = BatchNormalisation(-1.3, 0.0, 0.01), ACTIVATIONS[name]
    exact = homogeneous_moments(K, T, norm, *phi.homogeneous)
    m = sampled_moments(K, T, norm, phi, samples=20_000, seed=2)
    # 32 blocks: Student's t with 31 degrees of freedom has 5e-6 beyond 5.5, for 110 entries.
    assert (np.abs(m.second - exact.second) <= 5.5 * m.second_error + 1e-12).all()
    assert (np.abs(m.pulled - exact.pulled) <= 5.5 * m.pulled_error + 1e-12).all()
    np.testing.assert_allclose(m.by_scale, exact.by_scale, atol=0.06)
    np.testing.assert_allclose(m.by_shift, exact.by_shift, atol=0.03)
    np.testing.assert_allclose(m.mean, exact.mean, atol=0.05)
    assert 0 < m.error < 0.05


def test_any_activation_and_shift_equal_the_definitions():
    """Jacobians by differences of the whole layer, draw by draw."""
    K, T = batch("full")
    norm, phi = BatchNormalisation(1.4, 0.5, 0.05), ACTIVATIONS["tanh"]
    m = sampled_moments(K, T, norm, phi, samples=20_000, seed=0)
    L = np.linalg.cholesky(K)
    z = np.random.default_rng(5).standard_normal((4000, B)) @ L.T

    def layer(z):
        y = z - z.mean(axis=-1, keepdims=True)
        u = y / np.sqrt(np.mean(y * y, axis=-1, keepdims=True) + norm.eps)
        return phi.function(ops, norm.gamma * u + norm.beta)

    step = 1e-5 * np.eye(B)
    J = np.stack([(layer(z + e) - layer(z - e)) / 2e-5 for e in step], axis=-1)
    pulled = J @ T @ J.transpose(0, 2, 1)
    error = np.hypot(pulled.std(axis=0) / math.sqrt(4000), m.pulled_error)
    assert (np.abs(pulled.mean(axis=0) - m.pulled) < 5 * error + 1e-9).all()
    second = layer(z)[:, :, None] * layer(z)[:, None, :]
    error = np.hypot(second.std(axis=0) / math.sqrt(4000), m.second_error)
    assert (np.abs(second.mean(axis=0) - m.second) < 5 * error + 1e-9).all()


def test_standard_errors_are_the_scatter_over_seeds():
    K, T = batch("full")
    norm, phi = BatchNormalisation(eps=0.01), ACTIVATIONS["relu"]
    runs = [sampled_moments(K, T, norm, phi, samples=640, seed=seed) for seed in range(60)]
    for field, error in (("second", "second_error"), ("pulled", "pulled_error")):
        scatter = np.std([getattr(run, field) for run in runs], axis=0, ddof=1)
        stated = np.sqrt(np.mean([getattr(run, error) ** 2 for run in runs], axis=0))
        assert 0.9 < np.mean(stated / scatter) < 1.1


def test_the_error_falls_as_one_over_the_root_of_the_draws():
    K, T = batch("full")
    norm, phi = BatchNormalisation(eps=0.01), ACTIVATIONS["gelu"]
    few, many = (sampled_moments(K, T, norm, phi, samples=n, seed=1) for n in (1600, 25_600))
    assert few.draws == 1600
    assert np.mean(few.pulled_error) / np.mean(many.pulled_error) == pytest.approx(4, rel=0.2)
    assert few.error / many.error == pytest.approx(4, rel=0.4)


def test_one_seed_gives_one_answer_and_the_global_state_stays():
    K, T = batch("full")
    norm, phi = BatchNormalisation(), ACTIVATIONS["silu"]
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, again, other = (sampled_moments(K, T, norm, phi, samples=320, seed=s) for s in (4, 4, 5))
    np.testing.assert_array_equal(one.pulled, again.pulled)
    assert np.abs(one.pulled - other.pulled).max() > 0
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_without_a_tangent_kernel_nothing_is_pulled():
    K, T = batch("full")
    bare, full = (
        sampled_moments(K, t, BatchNormalisation(), ACTIVATIONS["relu"], samples=320) for t in (None, T)
    )
    assert bare.pulled is None
    assert bare.pulled_error is None
    np.testing.assert_array_equal(bare.second, full.second)


@pytest.mark.parametrize("rank", [2, 3, 5])
def test_low_rank_at_eps_zero_is_said(rank):
    x = np.random.default_rng(0).standard_normal((B, rank))
    m = sampled_moments(x @ x.T, np.eye(B), BatchNormalisation(eps=0.0), ACTIVATIONS["relu"], samples=320)
    assert m.status.startswith("diverges: ") == (rank == 2)
    assert np.isinf(m.pulled).all() == (rank == 2)
    assert math.isinf(m.error) == (rank == 3)  # finite mean, infinite variance


def test_a_sample_at_the_mean_has_no_variance():
    x = np.random.default_rng(0).standard_normal((B, 6))
    x[0] = x[1:].mean(axis=0)
    phi = ACTIVATIONS["relu"]
    m = sampled_moments(x @ x.T, np.eye(B), BatchNormalisation(eps=0.0), phi, samples=320)
    assert np.abs(m.second[0]).max() == 0
    assert m.by_shift[0, 0] == float(derivative(phi)(np.zeros(1))[0]) ** 2


def test_symmetric_and_in_the_scale_of_its_input():
    K, T = batch("full")
    norm = BatchNormalisation(1.1, 0.2, 0.01)
    m = sampled_moments(K, T, norm, ACTIVATIONS["relu"], samples=320)
    s = sampled_moments(1e9 * K, 1e9 * T, BatchNormalisation(1.1, 0.2, 1e7), ACTIVATIONS["relu"], samples=320)
    np.testing.assert_allclose(m.pulled, m.pulled.T, atol=1e-12)
    np.testing.assert_allclose(s.pulled, m.pulled, rtol=1e-6, atol=1e-8)


def test_memory_does_not_grow_with_the_draws():
    """All draws at once would take 64 MB for each of some ten arrays."""
    tracemalloc.start()
    sampled_moments(np.eye(200) + 0.1, None, BatchNormalisation(), ACTIVATIONS["relu"], samples=40_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


def test_too_few_draws_and_constant_features_say_what_to_do():
    K, T = batch("full")
    with pytest.raises(InvalidInput, match="expected at least 32 draws, got 5; the error falls as 1/√draws"):
        sampled_moments(K, T, BatchNormalisation(), ACTIVATIONS["relu"], samples=5)
    with pytest.raises(InvalidInput, match=r"expected samples that differ.*give eps > 0"):
        sampled_moments(np.ones((4, 4)), None, BatchNormalisation(eps=0.0), ACTIVATIONS["relu"])
