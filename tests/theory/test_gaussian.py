"""Gaussian expectations against closed forms, scipy's quadrature and a rule written differently."""

import numpy as np
import pytest
from scipy import integrate

from normfield.network import ACTIVATIONS, ActivationFunction
from normfield.theory import moments, ops, pair_moments
from normfield.theory.gaussian import derivative, slope_argument_product

NAMES = ("mean", "second", "slope", "slope_second", "slope_z")


def scipy_moments(phi, gamma, beta):
    slope = derivative(phi)
    density = lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    bend = -beta / gamma

    def mean_of(f):
        halves = [
            integrate.quad(lambda z: f(np.float64(z)) * density(z), a, b, epsabs=1e-13, limit=400)[0]
            for a, b in ((-12, bend), (bend, 12))
        ]
        return sum(halves)

    value = lambda z: phi.function(ops, gamma * z + beta)  # noqa: E731
    return (
        mean_of(value),
        mean_of(lambda z: value(z) ** 2),
        mean_of(lambda z: slope(gamma * z + beta)),
        mean_of(lambda z: slope(gamma * z + beta) ** 2),
        mean_of(lambda z: slope(gamma * z + beta) * z),
    )


@pytest.mark.parametrize("name", [*ACTIVATIONS])
@pytest.mark.parametrize(("gamma", "beta"), [(0.3, 0.0), (1.0, 0.7), (2.5, -1.1)])
def test_moments_equal_adaptive_quadrature(name, gamma, beta):
    phi = ACTIVATIONS[name]
    found = moments(phi, gamma, beta)
    expected = scipy_moments(phi, gamma, beta)
    for attribute, value in zip(NAMES, expected, strict=True):
        assert float(getattr(found, attribute)) == pytest.approx(value, abs=1e-10), attribute


def hermite_pair(f, q, qxy, beta, order=100):
    z, w = np.polynomial.hermite_e.hermegauss(order)
    w = w / w.sum()
    a = np.sqrt(q) * z[:, None] + 0 * z
    c = qxy / q
    b = np.sqrt(q) * (c * z[:, None] + np.sqrt(1 - c * c) * z)
    return np.einsum("i,j,ij->", w, w, f(a + beta) * f(b + beta))


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "sigmoid", "softplus", "erf"])
@pytest.mark.parametrize(("q", "qxy", "beta"), [(1.3, 0.5, 0.0), (0.7, -0.4, 0.3), (2.0, 0.0, 0.5)])
def test_pair_moments_equal_gauss_hermite(name, q, qxy, beta):
    phi = ACTIVATIONS[name]
    found = pair_moments(phi, q, qxy, beta)
    value = lambda x: phi.function(ops, x)  # noqa: E731
    slope = derivative(phi)
    assert float(found.product) == pytest.approx(hermite_pair(value, q, qxy, beta), abs=2e-6)
    assert float(found.slope_product) == pytest.approx(hermite_pair(slope, q, qxy, beta), abs=2e-5)
    argument = hermite_pair(lambda x: slope(x) * (x - beta), q, qxy, beta)
    got = slope_argument_product(phi, np.array(q), np.array(qxy), np.array(beta))
    assert float(got) == pytest.approx(argument, abs=2e-5)


def test_relu_pair_is_the_published_formula():
    q, c = 1.7, np.array([-0.9, -0.2, 0.0, 0.4, 1.0])
    found = pair_moments(ACTIVATIONS["relu"], q, q * c)
    # [Wei, Eqs. 21 and 22]
    product = q / (2 * np.pi) * (np.sqrt(1 - c**2) + np.pi * c / 2 + c * np.arcsin(c))
    slopes = (np.pi / 2 + np.arcsin(c)) / (2 * np.pi)
    np.testing.assert_allclose(found.product, product, atol=1e-15)
    np.testing.assert_allclose(found.slope_product, slopes, atol=1e-15)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "erf", "linear"])
def test_pair_closed_forms_equal_the_quadrature_of_the_same_function(name):
    row = ACTIVATIONS[name]
    anonymous = ActivationFunction("anonymous", row.function, row.derivative)
    q, qxy = np.array([0.4, 1.0, 3.0]), np.array([0.1, -0.9, 2.9])
    closed, numeric = pair_moments(row, q, qxy), pair_moments(anonymous, q, qxy)
    for attribute in ("second", "product", "slope_second", "slope_product", "mean"):
        np.testing.assert_allclose(getattr(closed, attribute), getattr(numeric, attribute), atol=1e-10)


def test_a_callable_without_derivative_gets_central_differences():
    bare = ActivationFunction("bare", lambda ops, x: np.tanh(x))
    with_slope = moments(ACTIVATIONS["tanh"], [0.5, 2.0], 0.3)
    without = moments(bare, [0.5, 2.0], 0.3)
    np.testing.assert_allclose(without.slope_second, with_slope.slope_second, rtol=1e-8)


def test_the_error_estimate_covers_a_steep_flank():
    found = moments(ACTIVATIONS["tanh"], 400.0, 100.0)
    expected = scipy_moments(ACTIVATIONS["tanh"], 400.0, 100.0)
    assert abs(float(found.mean) - expected[0]) <= found.error + 1e-12
    assert found.error < 1e-8


def test_no_spread_leaves_the_constant():
    found = moments(ACTIVATIONS["relu"], 0.0, np.array([-1.0, 2.0]))
    np.testing.assert_allclose(found.mean, [0.0, 2.0])
    np.testing.assert_allclose(found.slope, [0.0, 1.0])
    assert float(moments(ACTIVATIONS["tanh"], 0.0, 0.5).mean) == pytest.approx(np.tanh(0.5))
