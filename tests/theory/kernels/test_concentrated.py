"""Batch norm with its normaliser at the mean: Monte Carlo over that surrogate, closed forms, the exact kernel."""

import math

import numpy as np
import pytest

from normfield.errors import InvalidInput
from normfield.network import ACTIVATIONS
from normfield.theory import ops
from normfield.theory.gaussian import derivative
from normfield.theory.kernels.layer.concentrated import (
    DOUBTFUL,
    concentrated_moments,
    concentrated_pull_back,
    participation_ratio,
)
from normfield.theory.kernels.layer.homogeneous import homogeneous_moments
from normfield.theory.kernels.layer.moments import BatchNormalisation

FIELDS = ("second", "pulled", "by_scale", "by_shift", "mean")
DRAWS = 20_000
B = 6


STEEP = [(kind, name) for kind in ("low rank", "ill conditioned") for name in ("tanh", "selu")]


def cases(kinds, others, is_slow):
    """Every kind with every other setting; those that need tables of near pairs, 10 s and more each, are long."""
    return [
        pytest.param(kind, *other, marks=[pytest.mark.long] if is_slow(kind, *other) else [])
        for kind in kinds
        for other in others
    ]


def tangent(samples, seed=7):
    x = np.random.default_rng(seed).standard_normal((samples, samples))
    return x @ x.T


def covariance(kind, samples=B, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, samples))
    if kind == "low rank":
        x = x[:, :3]
    if kind == "ill conditioned":
        x = x * 10.0 ** -np.arange(samples)
    if kind == "twins":
        x[4] = x[1]
    if kind == "offset":
        return x @ x.T + 100.0
    return x @ x.T + 0.3


def draws(K, T, P, norm, phi, seed=1):
    """h hᵀ, J Θ Jᵀ, the γ term and Jᵀ Π J of every draw, from the definitions."""
    n = K.shape[0]
    G = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(G @ K @ G)
    y = (np.random.default_rng(seed).standard_normal((DRAWS, n)) * np.sqrt(values.clip(0))) @ vectors.T
    R = values.sum() + n * norm.eps
    u = math.sqrt(n / R) * y
    h = phi.function(ops, norm.gamma * u + norm.beta)
    slope = derivative(phi)(norm.gamma * u + norm.beta)
    J = norm.gamma * math.sqrt(n / R) * slope[:, :, None] * (G - y[:, :, None] * y[:, None, :] / R)
    Jt = J.transpose(0, 2, 1)
    pairs = lambda x: x[:, :, None] * x[:, None, :]  # noqa: E731
    return {
        "second": pairs(h),
        "pulled": J @ T @ Jt,
        "by_scale": pairs(slope * u),
        "by_shift": pairs(slope),
        "mean": h,
        "back": Jt @ P @ J,
    }


@pytest.mark.parametrize(
    ("kind", "name", "gamma", "beta"),
    cases(
        ["full", "low rank", "ill conditioned", "twins", "offset"],
        [("relu", 1.3, 0.0), ("relu", -0.7, 0.4), ("tanh", 2.0, 0.3), ("selu", 1.0, -0.4), ("erf", 1.5, 0.0)],
        lambda kind, name, gamma, beta: (kind, name) in STEEP,
    ),
)
def test_moments_equal_monte_carlo_over_the_surrogate(kind, name, gamma, beta):
    K, T, P = covariance(kind), tangent(B), tangent(B, seed=8)
    norm, phi = BatchNormalisation(gamma, beta, 0.02), ACTIVATIONS[name]
    m = concentrated_moments(K, T, norm, phi)
    found = {field: getattr(m, field) for field in FIELDS}
    found["back"] = concentrated_pull_back(K, P, norm, phi)
    for field, sampled in draws(K, T, P, norm, phi).items():
        error = sampled.std(axis=0) / math.sqrt(DRAWS)
        missed = np.abs(found[field] - sampled.mean(axis=0))
        assert (missed <= 4.5 * error + 1e-12).all(), field


def test_linear_layers_equal_the_closed_form():
    """E (G − yyᵀ/R)Θ(G − yyᵀ/R) = T − (TΣ + ΣT)/R + (tr(TΣ)Σ + 2ΣTΣ)/R² by Wick's theorem."""
    K, T = covariance("full"), tangent(B)
    norm = BatchNormalisation(1.3, 0.7, 0.1)
    G = np.eye(B) - 1 / B
    S, C = G @ K @ G, G @ T @ G
    R = np.trace(S) + B * norm.eps
    gain = norm.gamma**2 * B / R
    m = concentrated_moments(K, T, norm, ACTIVATIONS["linear"])
    np.testing.assert_allclose(m.second, gain * S + norm.beta**2, rtol=1e-12, atol=1e-14)
    expected = C - (C @ S + S @ C) / R + (np.trace(C @ S) * S + 2 * S @ C @ S) / R**2
    np.testing.assert_allclose(m.pulled, gain * expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(m.by_scale, B / R * S, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "name", "beta"),
    cases(
        ["full", "low rank", "twins"],
        [(name, beta) for name in ("relu", "abs", "selu", "gelu", "erf") for beta in (0.0, 0.5)],
        lambda kind, name, beta: kind == "low rank" and beta > 0 and name in ("selu", "gelu", "erf"),
    ),
)
def test_the_pull_back_is_the_adjoint(kind, name, beta):
    K, T, P = covariance(kind), tangent(B), tangent(B, seed=8)
    norm = BatchNormalisation(-1.2, beta, 1e-3)
    pulled = concentrated_moments(K, T, norm, ACTIVATIONS[name]).pulled
    back = concentrated_pull_back(K, P, norm, ACTIVATIONS[name])
    assert np.sum(P * pulled) == pytest.approx(np.sum(T * back), rel=1e-10)
    np.testing.assert_allclose(back, back.T, atol=1e-10)
    np.testing.assert_allclose(back.sum(axis=0), 0, atol=1e-9)  # batch norm sees no common shift


@pytest.mark.parametrize(
    ("name", "beta"),
    [
        *((name, beta) for name in ("relu", "tanh") for beta in (0.0, 0.5)),
        ("gelu", 0.0),
        pytest.param("gelu", 0.5, marks=pytest.mark.long),
    ],
)
def test_twins_are_the_limit_of_near_twins(name, beta):
    rng = np.random.default_rng(0)
    x, apart = rng.standard_normal((B, 5)), rng.standard_normal(5)
    T, norm = tangent(B), BatchNormalisation(1.0, beta, 0.01)

    def pulled(distance):
        near = x.copy()
        near[4] = x[1] + distance * apart
        return concentrated_moments(near @ near.T, T, norm, ACTIVATIONS[name]).pulled

    exact = pulled(0.0)
    coarse, fine = (np.abs(pulled(d) - exact).max() for d in (1e-3, 1e-5))
    assert coarse < 1e-2 * np.abs(exact).max()
    assert fine < 3e-2 * coarse


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_a_sample_at_the_mean_has_no_variance(name):
    x = np.random.default_rng(0).standard_normal((B, 4))
    x[0] = x[1:].mean(axis=0)
    norm, phi = BatchNormalisation(1.0, 0.3, 0.01), ACTIVATIONS[name]
    m = concentrated_moments(x @ x.T, tangent(B), norm, phi)
    assert m.second[0, 0] == pytest.approx(float(phi.function(ops, np.array([0.3]))[0]) ** 2, rel=1e-12)
    assert np.abs(m.by_scale[0]).max() < 1e-14
    for field in FIELDS:
        assert np.isfinite(getattr(m, field)).all()


@pytest.mark.parametrize("name", ["relu", "tanh"])
@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_batch_norm_has_no_scale(name, scale):
    K, T = covariance("full"), tangent(B)
    m = concentrated_moments(K, T, BatchNormalisation(1.2, 0.1, 0.01), ACTIVATIONS[name])
    s = concentrated_moments(
        scale * K, scale * T, BatchNormalisation(1.2, 0.1, scale * 0.01), ACTIVATIONS[name]
    )
    for field in FIELDS:
        np.testing.assert_allclose(getattr(s, field), getattr(m, field), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "gelu", "selu"])
def test_a_permuted_batch_permutes_the_kernels_and_they_are_symmetric(name):
    K, T = covariance("full", 9), tangent(9)
    order = np.random.default_rng(3).permutation(9)
    norm = BatchNormalisation(1.2, 0.4, 1e-5)
    m = concentrated_moments(K, T, norm, ACTIVATIONS[name])
    p = concentrated_moments(K[np.ix_(order, order)], T[np.ix_(order, order)], norm, ACTIVATIONS[name])
    for field in FIELDS:
        whole = getattr(m, field)
        there = whole[order] if whole.ndim == 1 else whole[np.ix_(order, order)]
        np.testing.assert_allclose(getattr(p, field), there, rtol=1e-9, atol=1e-11)
        if whole.ndim == 2:
            np.testing.assert_allclose(whole, whole.T, atol=1e-12)
    for matrix in (m.second, m.pulled, m.by_scale, m.by_shift):
        values = np.linalg.eigvalsh(matrix)
        assert values[0] > -1e-10 * values[-1]


def test_two_samples_are_plus_and_minus_one():
    """B = 2: u = ±g with one common g; the surrogate keeps its Gaussian law."""
    m = concentrated_moments(
        np.array([[2.0, 0.3], [0.3, 1.0]]), None, BatchNormalisation(eps=0.0), ACTIVATIONS["relu"]
    )
    np.testing.assert_allclose(m.second, [[0.5, 0], [0, 0.5]], atol=1e-15)
    assert m.pulled is None


def test_gamma_zero_leaves_the_shift():
    phi = ACTIVATIONS["gelu"]
    m = concentrated_moments(covariance("full"), tangent(B), BatchNormalisation(0.0, 0.8, 0.1), phi)
    value, slope = float(phi.function(ops, np.array(0.8))), float(derivative(phi)(np.array(0.8)))
    np.testing.assert_allclose(m.second, value**2, rtol=1e-12)
    np.testing.assert_allclose(m.pulled, 0, atol=1e-15)
    np.testing.assert_allclose(m.by_shift, slope**2, rtol=1e-12)
    G = np.eye(B) - 1 / B
    S = G @ covariance("full") @ G
    np.testing.assert_allclose(m.by_scale, slope**2 * S * B / (np.trace(S) + 0.1 * B), atol=1e-12)


def test_constant_features_say_what_to_do():
    with pytest.raises(InvalidInput) as caught:
        concentrated_moments(np.full((4, 4), 2.0), None, BatchNormalisation(eps=0.0), ACTIVATIONS["relu"])
    assert str(caught.value) == (
        "expected samples that differ, since batch norm divides by their variance, got a batch of constant features "
        "with eps = 0; remove the constant features or give eps > 0"
    )


def test_constant_features_with_eps_are_the_shift():
    m = concentrated_moments(
        np.full((4, 4), 2.0), np.eye(4), BatchNormalisation(beta=0.5, eps=1e-3), ACTIVATIONS["relu"]
    )
    np.testing.assert_allclose(m.second, 0.25, rtol=1e-12)
    assert m.status == ""


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradients_diverge_below_rank_three_at_eps_zero(rank):
    x = np.random.default_rng(0).standard_normal((B, rank))
    m = concentrated_moments(x @ x.T, tangent(B), BatchNormalisation(eps=0.0), ACTIVATIONS["relu"])
    if rank <= 2:
        assert m.status.startswith("diverges: ")
        assert f"rank {rank}" in m.status
        assert np.isinf(m.pulled).all()
    else:
        assert m.status == ""
        assert np.isfinite(m.pulled).all()
    assert np.isfinite(m.second).all()


def test_participation_ratio_counts_directions():
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0][:, :5]
    directions = np.linalg.qr(directions - directions.mean(axis=0))[0]
    assert participation_ratio(3.0 * directions @ directions.T + 7.0) == pytest.approx(5.0, rel=1e-12)
    assert participation_ratio(np.full((5, 5), 2.0)) == 0.0


@pytest.mark.parametrize(("inputs", "steepness"), [(20, 0.0), (100, 0.0), (400, 0.0), (400, 0.5), (400, 1.0)])
def test_the_distance_to_the_exact_kernel_falls_with_the_participation_ratio(inputs, steepness):
    samples = 100
    x = np.random.default_rng(1).standard_normal((samples, inputs)) * np.arange(1, inputs + 1) ** (
        -steepness / 2
    )
    K, norm = x @ x.T, BatchNormalisation(eps=0.0)
    T = 50 * K + 1
    near = concentrated_moments(K, T, norm, ACTIVATIONS["relu"])
    exact = homogeneous_moments(K, T, norm, 0.5, 0.5)
    ratio = participation_ratio(K)
    for field, least, most in (("second", 0.0, 2.5), ("pulled", 1.5, 2.6)):
        ours, theirs = getattr(near, field), getattr(exact, field)
        missed = np.abs(ours - theirs).max() / np.diag(theirs).max()
        assert least < missed * ratio < most
        if ratio > DOUBTFUL:
            assert missed < 0.05


@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize("name", ["relu", "erf", "tanh"])
def test_torch_arrays_stay_torch_arrays(name, beta):
    torch = pytest.importorskip("torch")
    K, T, norm = covariance("full"), tangent(B), BatchNormalisation(1.1, beta, 0.01)
    ours = concentrated_moments(torch.from_numpy(K), torch.from_numpy(T), norm, ACTIVATIONS[name])
    numpy = concentrated_moments(K, T, norm, ACTIVATIONS[name])
    for field in FIELDS:
        assert isinstance(getattr(ours, field), torch.Tensor)
        np.testing.assert_allclose(getattr(ours, field).numpy(), getattr(numpy, field), atol=1e-12)
    back = concentrated_pull_back(torch.from_numpy(K), torch.from_numpy(T), norm, ACTIVATIONS[name])
    np.testing.assert_allclose(
        back.numpy(), concentrated_pull_back(K, T, norm, ACTIVATIONS[name]), atol=1e-11
    )
