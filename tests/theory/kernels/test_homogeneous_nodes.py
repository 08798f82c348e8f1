"""Nodes of the normaliser's integral: known integrals, few nodes, the rank, and an error estimate that holds."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from normfield.theory.kernels.layer.centred import centre, centred_covariance
from normfield.theory.kernels.layer.homogeneous import homogeneous_moments, homogeneous_pull_back
from normfield.theory.kernels.layer.homogeneous_pairs import Homogeneous
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.layer.nodes import Density, gauss_rules, trapezoid
from normfield.theory.kernels.layer.normaliser_integrals import both_integrals, tangent_of


def covariance(samples, directions, decay=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, directions)) * np.arange(1, directions + 1) ** -float(decay)
    return x @ x.T + 0.2


@pytest.mark.parametrize(
    ("samples", "directions", "eps"), [(5, 4, 0.0), (40, 3, 0.0), (6, 1, 1e-3), (90, 90, 1e-5)]
)
def test_the_weight_alone_gives_the_mean_of_the_inverse_normaliser(samples, directions, eps):
    """∫ w ds = E 1/R, by scipy over s itself, piece by piece."""
    centred = centred_covariance(covariance(samples, directions), eps)
    values = centred.values[centred.values > 0]

    def weight(s):
        return math.exp(-s * samples * centred.eps - 0.5 * np.log1p(2 * s * values).sum())

    edges = [0.0, *np.geomspace(1e-4, 1e12, 33)]
    expected = sum(quad(weight, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in pairwise(edges))
    if eps == 0:
        last = edges[-1]
        expected += 2 * last * weight(last) / (values.size - 2)  # the power law beyond
    for rule in (
        trapezoid(centred, [Density(centred)], 12),
        gauss_rules(centred, [Density(centred)]).rule(10),
    ):
        assert rule.weights.sum() == pytest.approx(expected, rel=1e-9)
        assert np.all(rule.nodes > 0)
        assert np.all(rule.weights > 0)


def test_exchangeable_data_have_the_inverse_chi_square():
    centred = centred_covariance(3.0 * np.eye(12) + 1.0, 0.0)
    rule = gauss_rules(centred, [Density(centred)]).rule(6)
    assert rule.weights.sum() / centred.scale == pytest.approx(1 / (3.0 * (11 - 2)), rel=1e-12)


@pytest.mark.parametrize("digits", [4, 6, 8, 10, 12])
@pytest.mark.parametrize(
    ("directions", "decay", "eps"), [(3, 0, 0.0), (3, 3, 0.0), (2, 0, 1e-8), (30, 2, 1e-5), (30, 0, 9.0)]
)
def test_the_trapezoid_has_the_digits_asked_for(digits, directions, decay, eps):
    centred = centred_covariance(covariance(30, directions, decay), eps)
    tangent, relu = tangent_of(centred, np.eye(30)), Homogeneous(0.5, 0.5)
    densities = [Density(centred, falls=1.0), Density(centred)]
    found, exact = (
        both_integrals(centred, centred.vectors, tangent, relu, trapezoid(centred, densities, d))
        for d in (digits, 15)
    )
    for x, y in zip(found, exact, strict=True):
        assert np.abs(x - y).max() < 2 * 10.0**-digits * np.diag(y).mean()


def test_large_batches_need_few_nodes():
    """Where many directions share the variance the integrands are polynomials of low degree on the weight's support."""
    centred = centred_covariance(covariance(300, 300), 1e-5)
    tangent, relu = tangent_of(centred, np.eye(300)), Homogeneous(0.5, 0.5)
    densities = [Density(centred, falls=1.0), Density(centred)]
    few, many = (
        both_integrals(centred, centred.vectors, tangent, relu, rule)
        for rule in (gauss_rules(centred, densities).rule(4), trapezoid(centred, densities, 13))
    )
    for x, y in zip(few, many, strict=True):
        assert np.abs(x - y).max() < 1e-9 * np.diag(y).mean()


@pytest.mark.parametrize("samples", [5, 60, 500])
@pytest.mark.parametrize("directions", [1, 2, 3])
@pytest.mark.parametrize("common", [0.0, 0.5, 100.0])
def test_the_rank_of_few_dimensions_survives_rounding(samples, directions, common):
    x = np.random.default_rng(samples).standard_normal((samples, directions))
    assert centred_covariance(x @ x.T + common, 0.0).rank == directions


def test_the_rank_of_duplicated_samples_is_that_of_the_distinct_ones():
    x = np.repeat(np.random.default_rng(0).standard_normal((4, 7)), 50, axis=0)
    assert centred_covariance(x @ x.T + 0.5, 0.0).rank == 3


def test_the_rank_of_ill_conditioned_data_is_not_cut_short():
    scales = 10.0 ** -np.arange(6)
    x = np.random.default_rng(0).standard_normal((30, 6)) * scales
    assert centred_covariance(x @ x.T, 0.0).rank == 6


def test_centring_leaves_nothing_of_a_large_common_part():
    x = np.random.default_rng(0).standard_normal((400, 3))
    G = np.eye(400) - 1 / 400
    np.testing.assert_allclose(centre(x @ x.T + 1e6), G @ (x @ x.T) @ G, atol=1e-8)
    assert abs(centre(x @ x.T + 1e6).sum()) < 1e-9


CASES = [
    (directions, decay, eps, phi, kind, tolerance)
    for directions, decay in ((3, 0), (4, 2), (10, 0), (60, 0), (60, 1), (60, 3))
    for eps, phi, kind, tolerance in (
        (0.0, (0.5, 0.5), "covariance", 1e-8),
        (1e-5, (0.6, 0.4), "identity", 1e-5),
        (1e-3, (0.0, 1.0), "indefinite", 1e-8),
        (1.0, (0.5, 0.5), "random", 1e-11),
    )
]


def tangent_kernel(kind, K, rng):
    a = rng.standard_normal(K.shape)
    return {"covariance": K + 1, "identity": np.eye(len(K)), "indefinite": a + a.T, "random": a @ a.T}[kind]


@pytest.mark.parametrize(("directions", "decay", "eps", "phi", "kind", "tolerance"), CASES)
def test_the_error_estimate_holds(directions, decay, eps, phi, kind, tolerance):
    """Against the trapezoid with 15 digits, on every entry of batches larger than what the estimate looks at."""
    B = 70
    K = covariance(B, directions, decay, seed=directions)
    T = tangent_kernel(kind, K, np.random.default_rng(1))
    norm = BatchNormalisation(eps=eps)
    m = homogeneous_moments(K, T, norm, *phi, tolerance=tolerance)
    centred = centred_covariance(K, eps)
    rule = trapezoid(centred, [Density(centred, falls=1.0), Density(centred)], 15)
    second, pulled = both_integrals(centred, centred.vectors, tangent_of(centred, T), Homogeneous(*phi), rule)
    second, pulled = B * second, B / centred.scale * pulled
    off = max(
        np.abs(x - y).max() / np.abs(np.diag(y)).mean() for x, y in ((m.second, second), (m.pulled, pulled))
    )
    assert off <= 1.5 * m.error + 1e-13
    assert off <= 3 * tolerance
    assert m.error < 10 * tolerance


@pytest.mark.parametrize(("directions", "decay", "eps"), [(3, 0, 0.0), (60, 0, 1e-5), (60, 2, 1e-3)])
def test_the_error_estimate_of_the_adjoint_holds(directions, decay, eps):
    K = covariance(70, directions, decay)
    P = tangent_kernel("random", K, np.random.default_rng(2))
    norm = BatchNormalisation(eps=eps)
    back, error = homogeneous_pull_back(K, P, norm, 0.5, 0.5, tolerance=1e-6)
    fine, _ = homogeneous_pull_back(K, P, norm, 0.5, 0.5, tolerance=1e-12)
    assert 0 < np.abs(back - fine).max() / np.diag(fine).mean() < 10 * error
    assert error < 1e-5
