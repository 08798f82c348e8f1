"""Rates of batch norm over depth: the values of Yang et al. 2019 and their closed forms, to all digits given."""

import math

import numpy as np
import pytest

import normfield as nf

SIZES = (5, 8, 32, 128, math.inf)


def shows(value, decimals):
    return float(f"{value:.{decimals}f}")


@pytest.mark.parametrize(
    ("batch_size", "explosion", "layers", "linear", "norms", "correlations", "cross"),
    [
        (5, 2.27371, 19.5, 1.5, 0.60972, 0.43887, 0.69316),
        (8, 1.78819, 27.5, 1.2, 0.74361, 0.53861, 0.70968),
        (32, 1.52195, 38.1, 1.03448, 0.93105, 0.68070, 0.72797),
        (128, 1.47968, 40.8, 1.008, 0.98241, 0.71999, 0.73212),
        (math.inf, 1.46694, 41.8, 1.0, 1.0, 0.73347, 0.73347),
    ],
)
def test_rates_of_relu(batch_size, explosion, layers, linear, norms, correlations, cross):
    found = nf.depth_limits("relu", batch_size)
    assert shows(found.explosion_rate, 5) == explosion
    assert shows(found.trainable_depth, 1) == layers
    assert shows(nf.depth_limits("linear", batch_size).explosion_rate, 5) == linear
    assert shows(found.norm_rate, 5) == norms
    assert shows(found.correlation_rate, 5) == correlations
    assert shows(found.cross_batch_rate, 5) == cross


@pytest.mark.parametrize(
    ("activation", "batch_size", "settings", "value", "decimals"),
    [
        ("tanh", 6, {}, 1.48313, 5),
        ("tanh", 32, {}, 1.20830, 5),
        ("tanh", math.inf, {}, 1.17781, 5),
        ("tanh", math.inf, {"gamma": 0.1}, 1.000126, 6),
        ("erf", 32, {}, 1.25610, 5),
        ("erf", math.inf, {}, 1.22570, 5),
        ("relu", math.inf, {"beta": 2.0}, 1.01776, 5),
    ],
)
def test_rates_of_other_activations(activation, batch_size, settings, value, decimals):
    assert shows(nf.depth_limits(activation, batch_size, **settings).explosion_rate, decimals) == value


@pytest.mark.parametrize("batch_size", [4, *SIZES[:-1], 10**6])
def test_closed_forms_of_relu(batch_size):
    found, B = nf.depth_limits("relu", batch_size), batch_size
    c = -1 / (B - 1)
    J = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi
    slope = (math.pi - math.acos(c)) / math.pi
    spread = (1 - J) / 2
    assert found.fixed_point.second_moment == pytest.approx(0.5, rel=1e-13)
    assert found.fixed_point.correlation == pytest.approx(J, rel=1e-12)
    assert found.fixed_point.spread == pytest.approx(spread, rel=1e-12)
    assert found.explosion_rate == pytest.approx(((B - 1 + slope) / (1 - J) - 1) / (B - 3), rel=1e-11)
    assert found.correlation_rate == pytest.approx(B * slope / (2 * spread * (B + 1)), rel=1e-11)
    norms = ((B - 2) * (1 - J) + B / (B - 1) * slope) / (2 * spread * (B + 1))
    assert found.norm_rate == pytest.approx(norms, rel=1e-11)


@pytest.mark.parametrize("batch_size", [4, *SIZES[:-1], 10**6])
def test_closed_forms_of_the_identity(batch_size):
    found, B = nf.depth_limits("identity", batch_size), batch_size
    assert found.explosion_rate == pytest.approx((B - 2) / (B - 3), rel=1e-12)
    assert found.fixed_point.spread == pytest.approx(B / (B - 1), rel=1e-13)
    assert found.fixed_point.second_moment == pytest.approx(1, rel=1e-13)
    assert found.fixed_point.correlation == pytest.approx(-1 / (B - 1), rel=1e-9)
    assert found.norm_rate == pytest.approx((B - 1) / (B + 1), rel=1e-12)


def test_limits_of_infinite_batches():
    found = nf.depth_limits("relu", math.inf)
    assert found.explosion_rate == pytest.approx(math.pi / (math.pi - 1), rel=1e-13)
    assert found.trainable_depth == pytest.approx(16 / math.log(math.pi / (math.pi - 1)), rel=1e-12)
    assert nf.depth_limits("linear", math.inf).trainable_depth == math.inf


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "softplus", "abs"])
def test_no_activation_explodes_less_than_the_linear_one(activation):
    sizes = np.array([4, 6, 20, 100, math.inf])
    gammas = np.array([[0.2], [1.0], [3.0]])
    found = nf.depth_limits(activation, sizes, gammas, beta=0.4).explosion_rate
    least = np.append((sizes[:-1] - 2) / (sizes[:-1] - 3), 1.0)
    assert (found >= least * (1 - 1e-12)).all()


def test_where_eps_makes_the_batch_collapse():
    relu = nf.depth_limits("relu", 16, eps=0.1, weight_variance=1.0).transition
    assert shows(relu.symmetric, 3) == 0.335
    assert shows(relu.outlier, 3) == 0.441
    c = -1 / 15
    J = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi
    assert relu.symmetric == pytest.approx((1 - 1 / 16) * (1 - J) / 2, rel=1e-12)
    assert relu.outlier == pytest.approx(((1 - 1 / 16) ** 2 + 1 / 16**2) / 2, rel=1e-12)


@pytest.mark.parametrize(("gamma", "beta", "variance"), [(1.0, 0.0, 1.0), (0.5, 0.7, 2.0), (2.0, -1.2, 1.5)])
@pytest.mark.parametrize("batch_size", [5, 64, math.inf])
def test_where_eps_makes_a_smooth_activation_collapse(batch_size, gamma, beta, variance):
    found = nf.depth_limits("tanh", batch_size, gamma, beta, 0.01, weight_variance=variance).transition
    critical = variance * gamma**2 / math.cosh(beta) ** 4
    assert found.symmetric == pytest.approx(critical, rel=1e-9)
    assert found.outlier == pytest.approx(critical, rel=1e-9)
